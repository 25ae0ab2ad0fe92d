//! The unwinder's entry points, doing nothing, in the static release build.
//!
//! There a panic aborts, so nothing is ever unwound, and the binary is stripped, so a backtrace would have no names.
//! std would nevertheless link its unwinder and DWARF reader: with these in place the linker drops them (about 290 kB).
//! What it costs: no backtrace after a panic; its message and place are still printed.
//!
//! The same goes for what std calls to name a thread: musl's brings printf with it (11 kB), and no thread here is named.
#![cfg(all(target_env = "musl", panic = "abort", not(test)))]

use std::ffi::{c_int, c_void};

/// _URC_END_OF_STACK of the Itanium C++ ABI: there is no frame to report.
const END_OF_STACK: c_int = 5;

macro_rules! returns {
    ($($name:ident -> $type:ty = $value:expr;)*) => {$(
        // SAFETY: the real symbol comes from an archive that is linked only where this one is missing. Extra arguments
        // are ignored under the C calling convention of both supported architectures.
        #[unsafe(no_mangle)]
        extern "C" fn $name(_: *mut c_void) -> $type {
            $value
        }
    )*};
}

returns! {
    pthread_setname_np -> c_int = 0;
    _Unwind_Backtrace -> c_int = END_OF_STACK;
    _Unwind_RaiseException -> c_int = END_OF_STACK;
    _Unwind_GetIP -> usize = 0;
    _Unwind_GetIPInfo -> usize = 0;
    _Unwind_GetCFA -> usize = 0;
    _Unwind_FindEnclosingFunction -> usize = 0;
    _Unwind_GetLanguageSpecificData -> usize = 0;
    _Unwind_GetRegionStart -> usize = 0;
    _Unwind_GetTextRelBase -> usize = 0;
    _Unwind_GetDataRelBase -> usize = 0;
    _Unwind_SetGR -> () = ();
    _Unwind_SetIP -> () = ();
    _Unwind_DeleteException -> () = ();
    _Unwind_Resume -> () = std::process::abort();
}
