//! What customers are worth and how long they stay: summaries, models, predictions.

/// BG/NBD and MBG/NBD.
mod beta_geometric;
/// Their likelihood.
mod beta_geometric_likelihood;
/// Fit of BG/NBD.
pub(crate) mod bgnbd_fit;
/// Value of a customer under contract.
pub(crate) mod clv_contractual;
/// Mean value of customers in a time to come.
pub(crate) mod clv_future;
/// Value of a customer in a time to come.
pub(crate) mod clv_predict;
/// A customer's orders in four numbers.
pub(crate) mod clv_summary;
/// Models of published parameters.
pub(crate) mod constructors;
/// Arguments that describe a customer.
mod customer;
/// Purchases of a customer in a time to come.
pub(crate) mod expected_purchases;
/// Purchases of a new customer.
pub(crate) mod expected_purchases_new;
/// Spend per purchase.
pub(crate) mod expected_spend;
/// Fits as aggregates.
mod fit;
/// What each model's fit does.
mod fits;
/// Gamma-Gamma.
mod gamma_gamma;
/// Fit of Gamma-Gamma.
pub(crate) mod gamma_gamma_fit;
/// Fit of MBG/NBD.
pub(crate) mod mbgnbd_fit;
/// Models as values.
mod model;
/// Maximum of a likelihood.
mod optimise;
/// Orders of a group's members, kept row by row.
mod orders;
/// Whether a customer is still one.
pub(crate) mod p_alive;
/// Pareto/NBD.
mod pareto;
/// Fit of Pareto/NBD.
pub(crate) mod pareto_nbd_fit;
/// What predictions share.
mod prediction;
/// Probability of a number of purchases.
pub(crate) mod purchase_probability;
/// Integrals.
mod quadrature;
/// Contracts that are renewed or not.
mod sbg;
/// Fit of sBG.
pub(crate) mod sbg_fit;
/// Expected renewals of a contract.
pub(crate) mod sbg_residual_lifetime;
/// Share of customers who renew.
pub(crate) mod sbg_retention;
/// Share of customers who are left.
pub(crate) mod sbg_survival;
/// Gamma functions.
mod special;
/// Distinct customers of groups.
mod tuples;
