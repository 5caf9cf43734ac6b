//! Asks memory for what will soon be needed, and does not wait for it.

/// Octets of a cache line.
pub(crate) const LINE: usize = 64;

/// Begins to bring the cache line in which `wanted` begins, without waiting for it.
///
/// A load whose value nobody uses would bring it too, but the processor lets nothing after a load
/// retire before it has come. Does nothing on other processors than x86-64.
#[inline]
pub(crate) fn prefetch<T>(wanted: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(wanted);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = wanted;
}
