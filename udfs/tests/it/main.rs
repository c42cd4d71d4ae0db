//! Integration tests, in one binary because each one links DataFusion.

mod docs;
mod goldens;
mod laws;
mod session;
mod wrong_input;
