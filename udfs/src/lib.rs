//! Customer-loyalty metrics as Apache DataFusion functions.
//!
//! The functions work in any session; what each one means, with an example and its result, is in
//! `FUNCTIONS.md` and in the `Documentation` of each function:
//!
//! ```
//! # fn register(registry: &mut dyn datafusion_expr::registry::FunctionRegistry)
//! # -> datafusion_common::Result<()> {
//! datafusion_functions_loyalty::register_all(registry)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Conventions
//!
//! * A `*_rate` is a fraction from 0 to 1; scores have their customary points; money has the
//!   currency of its input.
//! * Rows whose required argument is NULL are skipped. Nothing left, or nothing to divide by, gives
//!   NULL.
//! * A value that cannot be meant (off the scale, NaN, infinite, reversed) is an error that says
//!   what to do.
//! * Constant arguments, such as thresholds and the bounds of a period, may be columns, but must
//!   not vary within a group.
//! * Intervals are half-open: `[start, end)`.
//!
//! # How to add a function
//!
//! 1. Put a file named after it into the folder of its subject and write, in this order: the `//!`
//!    header with formula, NULL rule and source; the `user_doc` attribute with an example and its
//!    result; the definition (names, types, forms); the state with its arithmetic; unit tests.
//! 2. Choose the state: a few counters, sums and constants per group are a `Measure` (`measure.rs`),
//!    other numbers a `Metric` (`aggregate.rs`), distinct customers a `DistinctMetric`
//!    (`distinct.rs`), other entries a `BagMetric` (`bag.rs`), a table of another kind `Groups`
//!    (`groups.rs`), one row in and one out a `ScalarDefinition` (`scalar.rs`).
//! 3. Write the public pair with `export_aggregate!`, `export_scalar!` or `export_window!`, and add
//!    it below to the re-exports, to `expr_fn` and to one of the three lists.
//! 4. Give `tests/it/laws.rs` a sample call per form; the laws then hold for it without more work.
//!    Known values go to `tests/it/goldens.rs`, refusals to `tests/it/wrong_input.rs`.
//! 5. Run `UPDATE=1 cargo test -p datafusion-functions-loyalty --test it` to rewrite `FUNCTIONS.md`,
//!    and read the difference.

mod aggregate;
mod answers;
mod arguments;
mod bag;
mod behaviour;
mod calendar;
mod constants;
mod distinct;
mod entries;
mod groups;
mod helpers;
mod interrupt;
mod keys;
mod lenient;
mod lifetime;
mod lists;
mod measure;
mod members;
mod money;
mod precise;
mod record;
mod refusal;
mod retention;
mod satisfaction;
mod scalar;
mod segment;
mod statistics;
mod survival;
mod text;
mod value;
mod window;

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{AggregateUDF, ScalarUDF, WindowUDF};

pub use behaviour::retention::retention_udaf;
pub use behaviour::sessionize::sessionize_udwf;
pub use behaviour::window_funnel::window_funnel_udaf;
pub use helpers::survey_score::survey_score_udf;
pub use helpers::tenure::tenure_udf;
pub use interrupt::{Interrupt, interruptible};
pub use lenient::{lenient_aggregate, lenient_scalar, lenient_window, register_all_lenient};
pub use lifetime::bgnbd_fit::bgnbd_fit_udaf;
pub use lifetime::clv_contractual::clv_contractual_udf;
pub use lifetime::clv_predict::clv_predict_udf;
pub use lifetime::clv_summary::clv_summary_udaf;
pub use lifetime::constructors::{bgnbd_udf, gamma_gamma_udf, mbgnbd_udf, pareto_nbd_udf, sbg_udf};
pub use lifetime::expected_purchases::expected_purchases_udf;
pub use lifetime::expected_purchases_new::expected_purchases_new_udf;
pub use lifetime::expected_spend::expected_spend_udf;
pub use lifetime::gamma_gamma_fit::gamma_gamma_fit_udaf;
pub use lifetime::mbgnbd_fit::mbgnbd_fit_udaf;
pub use lifetime::p_alive::p_alive_udf;
pub use lifetime::pareto_nbd_fit::pareto_nbd_fit_udaf;
pub use lifetime::purchase_probability::purchase_probability_udf;
pub use lifetime::sbg_fit::sbg_fit_udaf;
pub use lifetime::sbg_residual_lifetime::sbg_residual_lifetime_udf;
pub use lifetime::sbg_retention::sbg_retention_udf;
pub use lifetime::sbg_survival::sbg_survival_udf;
pub use refusal::{Refusal, Refused};
pub use retention::churn_rate::churn_rate_udaf;
pub use retention::cohort_retention::cohort_retention_udaf;
pub use retention::repeat_purchase_rate::repeat_purchase_rate_udaf;
pub use retention::retention_rate::retention_rate_udaf;
pub use retention::revenue_churn_rate::revenue_churn_rate_udaf;
pub use satisfaction::ces::ces_udaf;
pub use satisfaction::cli::cli_udaf;
pub use satisfaction::csat::csat_udaf;
pub use satisfaction::csi::csi_udaf;
pub use satisfaction::loyalty_index::loyalty_index_udf;
pub use satisfaction::nps::nps_udaf;
pub use satisfaction::nps_category::nps_category_udf;
pub use satisfaction::nps_change::nps_change_udaf;
pub use satisfaction::nps_ci::nps_ci_udaf;
pub use satisfaction::nps_moe::nps_moe_udaf;
pub use satisfaction::nps_weighted::nps_weighted_udaf;
pub use segment::quantile_score::quantile_score_udwf;
pub use segment::rfm_score::rfm_score_udwf;
pub use segment::rfm_segment::rfm_segment_udf;
pub use statistics::lift_test::lift_test_udaf;
pub use statistics::rate_change::rate_change_udaf;
pub use statistics::rate_ci::rate_ci_udaf;
pub use statistics::trend_test::trend_test_udaf;
pub use statistics::wilson_ci::wilson_ci_udf;
pub use survival::mean_lifetime::mean_lifetime_udaf;
pub use survival::median_lifetime::median_lifetime_udaf;
pub use survival::survival::survival_udaf;
pub use survival::survival_at::survival_at_udaf;
pub use text::detect_language::detect_language_udf;
pub use text::lexicons::{LexiconError, Lexicons, LexiconsBuilder};
pub use text::loyalty_version::loyalty_version_udf;
pub use text::review_topic::review_topic_udf;
pub use text::review_topics::review_topics_udf;
pub use text::review_type::review_type_udf;
pub use text::sentiment::sentiment_udf;
pub use text::sentiment_label::sentiment_label_udf;
pub use text::text_functions;
pub use value::aov::aov_udaf;
pub use value::clv::clv_udaf;
pub use value::clv_simple::clv_simple_udf;
pub use value::purchase_frequency::purchase_frequency_udaf;

/// Builders of expressions, for plans made without SQL.
pub mod expr_fn {
    pub use crate::behaviour::retention::retention;
    pub use crate::behaviour::sessionize::sessionize;
    pub use crate::behaviour::window_funnel::window_funnel;
    pub use crate::helpers::survey_score::survey_score;
    pub use crate::helpers::tenure::tenure;
    pub use crate::lifetime::bgnbd_fit::bgnbd_fit;
    pub use crate::lifetime::clv_contractual::clv_contractual;
    pub use crate::lifetime::clv_predict::clv_predict;
    pub use crate::lifetime::clv_summary::clv_summary;
    pub use crate::lifetime::constructors::{bgnbd, gamma_gamma, mbgnbd, pareto_nbd, sbg};
    pub use crate::lifetime::expected_purchases::expected_purchases;
    pub use crate::lifetime::expected_purchases_new::expected_purchases_new;
    pub use crate::lifetime::expected_spend::expected_spend;
    pub use crate::lifetime::gamma_gamma_fit::gamma_gamma_fit;
    pub use crate::lifetime::mbgnbd_fit::mbgnbd_fit;
    pub use crate::lifetime::p_alive::p_alive;
    pub use crate::lifetime::pareto_nbd_fit::pareto_nbd_fit;
    pub use crate::lifetime::purchase_probability::purchase_probability;
    pub use crate::lifetime::sbg_fit::sbg_fit;
    pub use crate::lifetime::sbg_residual_lifetime::sbg_residual_lifetime;
    pub use crate::lifetime::sbg_retention::sbg_retention;
    pub use crate::lifetime::sbg_survival::sbg_survival;
    pub use crate::retention::churn_rate::churn_rate;
    pub use crate::retention::cohort_retention::cohort_retention;
    pub use crate::retention::repeat_purchase_rate::repeat_purchase_rate;
    pub use crate::retention::retention_rate::retention_rate;
    pub use crate::retention::revenue_churn_rate::revenue_churn_rate;
    pub use crate::satisfaction::ces::ces;
    pub use crate::satisfaction::cli::cli;
    pub use crate::satisfaction::csat::csat;
    pub use crate::satisfaction::csi::csi;
    pub use crate::satisfaction::loyalty_index::loyalty_index;
    pub use crate::satisfaction::nps::nps;
    pub use crate::satisfaction::nps_category::nps_category;
    pub use crate::satisfaction::nps_change::nps_change;
    pub use crate::satisfaction::nps_ci::nps_ci;
    pub use crate::satisfaction::nps_moe::nps_moe;
    pub use crate::satisfaction::nps_weighted::nps_weighted;
    pub use crate::segment::quantile_score::quantile_score;
    pub use crate::segment::rfm_score::rfm_score;
    pub use crate::segment::rfm_segment::rfm_segment;
    pub use crate::statistics::lift_test::lift_test;
    pub use crate::statistics::rate_change::rate_change;
    pub use crate::statistics::rate_ci::rate_ci;
    pub use crate::statistics::trend_test::trend_test;
    pub use crate::statistics::wilson_ci::wilson_ci;
    pub use crate::survival::mean_lifetime::mean_lifetime;
    pub use crate::survival::median_lifetime::median_lifetime;
    pub use crate::survival::survival::survival;
    pub use crate::survival::survival_at::survival_at;
    pub use crate::text::detect_language::detect_language;
    pub use crate::text::loyalty_version::loyalty_version;
    pub use crate::text::review_topic::review_topic;
    pub use crate::text::review_topics::review_topics;
    pub use crate::text::review_type::review_type;
    pub use crate::text::sentiment::sentiment;
    pub use crate::text::sentiment_label::sentiment_label;
    pub use crate::value::aov::aov;
    pub use crate::value::clv::clv;
    pub use crate::value::clv_simple::clv_simple;
    pub use crate::value::purchase_frequency::purchase_frequency;
}

/// What an argument that may be left out before others is then, as SQL; `None` if it may not be.
pub fn default_of(function: &str, argument: &str) -> Option<&'static str> {
    match (function, argument) {
        ("clv" | "clv_predict", "discount") => Some("0"),
        ("csi", "scale_min") => Some("1"),
        _ => None,
    }
}

/// Every aggregate function of this crate.
pub fn all_aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![
        aov_udaf(),
        bgnbd_fit_udaf(),
        ces_udaf(),
        churn_rate_udaf(),
        cli_udaf(),
        clv_summary_udaf(),
        clv_udaf(),
        cohort_retention_udaf(),
        csat_udaf(),
        csi_udaf(),
        gamma_gamma_fit_udaf(),
        lift_test_udaf(),
        mbgnbd_fit_udaf(),
        mean_lifetime_udaf(),
        median_lifetime_udaf(),
        nps_change_udaf(),
        nps_ci_udaf(),
        nps_moe_udaf(),
        nps_udaf(),
        nps_weighted_udaf(),
        pareto_nbd_fit_udaf(),
        purchase_frequency_udaf(),
        rate_change_udaf(),
        rate_ci_udaf(),
        repeat_purchase_rate_udaf(),
        retention_rate_udaf(),
        retention_udaf(),
        revenue_churn_rate_udaf(),
        sbg_fit_udaf(),
        survival_at_udaf(),
        survival_udaf(),
        trend_test_udaf(),
        window_funnel_udaf(),
    ]
}

/// Every scalar function of this crate.
pub fn all_scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        bgnbd_udf(),
        clv_contractual_udf(),
        clv_predict_udf(),
        clv_simple_udf(),
        detect_language_udf(),
        expected_purchases_new_udf(),
        expected_purchases_udf(),
        expected_spend_udf(),
        gamma_gamma_udf(),
        loyalty_index_udf(),
        loyalty_version_udf(),
        mbgnbd_udf(),
        nps_category_udf(),
        p_alive_udf(),
        pareto_nbd_udf(),
        purchase_probability_udf(),
        review_topic_udf(),
        review_topics_udf(),
        review_type_udf(),
        rfm_segment_udf(),
        sbg_residual_lifetime_udf(),
        sbg_retention_udf(),
        sbg_survival_udf(),
        sbg_udf(),
        sentiment_label_udf(),
        sentiment_udf(),
        survey_score_udf(),
        tenure_udf(),
        wilson_ci_udf(),
    ]
}

/// Every window function of this crate.
pub fn all_window_functions() -> Vec<Arc<WindowUDF>> {
    vec![quantile_score_udwf(), rfm_score_udwf(), sessionize_udwf()]
}

/// Names of the scalar functions.
///
/// DataFusion plans a call of a scalar function before it looks at OVER, FILTER and DISTINCT, and
/// drops them silently. A server that sees the statement can refuse them for these names.
pub fn scalar_names() -> Vec<String> {
    all_scalar_functions()
        .iter()
        .map(|function| function.name().to_owned())
        .collect()
}

/// Registers every function, replacing others of the same name.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in all_aggregate_functions() {
        registry.register_udaf(function)?;
    }
    for function in all_scalar_functions() {
        registry.register_udf(function)?;
    }
    for function in all_window_functions() {
        registry.register_udwf(function)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// One name must not be of two kinds either: a scalar function would hide the others.
    #[test]
    fn names_are_unique() {
        let aggregates = all_aggregate_functions();
        let scalars = all_scalar_functions();
        let windows = all_window_functions();
        let names =
            aggregates
                .iter()
                .flat_map(|function| [vec![function.name()], strings(function.aliases())].concat())
                .chain(scalars.iter().flat_map(|function| {
                    [vec![function.name()], strings(function.aliases())].concat()
                }))
                .chain(windows.iter().flat_map(|function| {
                    [vec![function.name()], strings(function.aliases())].concat()
                }));
        let mut seen = HashSet::new();
        for name in names {
            assert!(seen.insert(name), "{name} is registered twice");
        }
        assert_eq!(seen.len(), aggregates.len() + scalars.len() + windows.len());
    }

    fn strings(names: &[String]) -> Vec<&str> {
        names.iter().map(String::as_str).collect()
    }
}
