//! The `loyalhouse` binary.

fn main() {}
