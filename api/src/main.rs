//! The one executable, `carillon`.

use std::process::ExitCode;

fn main() -> ExitCode {
    carillon::commands::main()
}
