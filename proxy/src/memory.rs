//! Gives memory that is free back to the system. The allocator does so by itself only while it is asked for more, which an idle proxy does not do.
//!
//! Called by each worker's sweep, at most every few seconds, after many connections went to rest or were closed.

/// Gives back what the calling thread's allocator holds for nobody.
#[expect(unsafe_code, reason = "the allocator has a C interface only")]
pub fn give_back() {
    // SAFETY: may be called at any time from any thread; it touches what is free only.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
