//! The one executable, `carillon`.

use std::process::ExitCode;

/// An answer is many small pieces, which this one hands out faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    carillon::commands::main()
}
