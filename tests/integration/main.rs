//! Each promise of the launcher, shown on the real executable with real processes.
