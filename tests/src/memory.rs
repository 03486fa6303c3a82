//! How much memory this process takes: for binaries with one test, because what is measured is the whole process. Linux
//! tells the peak.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

/// Peak of resident memory in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Does something, and looks that memory grew by so much at most meanwhile.
pub async fn flat_within<T>(growth_max: u64, what: &str, work: impl Future<Output = T>) -> T {
    // The peak begins anew at what is used now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    let done = work.await;
    let growth = peak() - before;
    assert!(growth < growth_max, "{what}: memory grew by {growth} bytes");
    done
}
