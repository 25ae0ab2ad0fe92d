//! A pipe that is read, with what is to come of it.

use super::super::bar::Bar;
use super::super::frame::{Frame, Framed};
use super::super::sink::Sink;
use super::super::{Source, Stream};
use crate::lines::Splitter;
use crate::settings::Format;
use crate::timestamp::Timestamp;
use std::sync::atomic::Ordering;

/// See the module.
pub struct Followed {
    pub source: Source,
    pub frame: Frame,
    pub is_polled: bool,
    pub splitter: Splitter,
    pub bar: Bar,
    /// How often reading failed since it last did not.
    pub failures: u32,
    pub has_large_pipe: bool,
}

impl Followed {
    pub fn new(source: Source, frame: Frame) -> Followed {
        let (splitter, bar) = (Splitter::default(), Bar::default());
        Followed { source, frame, is_polled: false, splitter, bar, failures: 0, has_large_pipe: false }
    }

    /// Whether its lines go to standard error.
    pub fn is_apart(&self) -> bool {
        self.source.stream == Stream::Stderr && self.frame.format == Format::Text
    }

    /// Batches the lines of what was read.
    #[inline(always)]
    pub fn log(&mut self, bytes: &[u8], sink: &mut Sink, time: &Timestamp) {
        self.frame.set_time(time);
        let mut lines = Framed { frame: &self.frame, sink, count: 0 };
        // Not by way of `pass`: this is what every line takes.
        self.splitter.feed(bytes, &mut lines);
        if lines.count > 0 {
            self.bar.note_line();
        }
        self.source.counters.lines.fetch_add(lines.count, Ordering::Relaxed);
        self.source.counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    /// Batches what `pass` gives.
    pub fn pass(&mut self, sink: &mut Sink, time: &Timestamp, pass: impl FnOnce(&mut Splitter, &mut Framed<'_>)) {
        self.frame.set_time(time);
        let mut lines = Framed { frame: &self.frame, sink, count: 0 };
        pass(&mut self.splitter, &mut lines);
        self.source.counters.lines.fetch_add(lines.count, Ordering::Relaxed);
    }
}
