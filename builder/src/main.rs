//! The `kmimage` program; see `cli` for what it understands.

fn main() -> std::process::ExitCode {
    kmimage::cli::main()
}
