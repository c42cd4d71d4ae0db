//! The public pair of a window function.

/// Writes the public pair of a window function: its UDWF, made once, and its expression builder.
macro_rules! export_window {
    ($definition:ty, $name:ident, $udwf:ident) => {
        #[doc = concat!("The window function `", stringify!($name), "`; see FUNCTIONS.md.")]
        pub fn $udwf() -> std::sync::Arc<datafusion_expr::WindowUDF> {
            static INSTANCE: std::sync::LazyLock<std::sync::Arc<datafusion_expr::WindowUDF>> =
                std::sync::LazyLock::new(|| {
                    std::sync::Arc::new(datafusion_expr::WindowUDF::from(<$definition>::default()))
                });
            std::sync::Arc::clone(&INSTANCE)
        }

        #[doc = concat!("A call of `", stringify!($name), "` with any of its argument forms.")]
        pub fn $name(arguments: Vec<datafusion_expr::Expr>) -> datafusion_expr::Expr {
            $udwf().call(arguments)
        }
    };
}
pub(crate) use export_window;
