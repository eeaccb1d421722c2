//! Satisfies `-lfdb_c`, which `foundationdb-sys` asks the linker for, with an archive of nothing: the
//! symbols come from this crate.

use std::path::PathBuf;

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("libfdb_c.a"), b"!<arch>\n").expect("OUT_DIR can be written to");
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rerun-if-changed=build.rs");
}
