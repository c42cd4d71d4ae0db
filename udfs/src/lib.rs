//! Customer-loyalty metrics as Apache DataFusion functions.
