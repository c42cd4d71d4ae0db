//! The fits of each model: what of a customer counts, the scale of its numbers, where the search
//! starts and what its end means.

use crate::arguments::finite;
use crate::lifetime::beta_geometric_likelihood::Likelihood;
use crate::lifetime::customer::{Customer, purchases};
use crate::lifetime::fit::Fitting;
use crate::lifetime::gamma_gamma::{self, Spend};
use crate::lifetime::model::{Fit, Kind};
use crate::lifetime::optimise::{Optimum, Slope, Surface, maximise};
use crate::lifetime::pareto;
use datafusion_common::Result;

/// The longest time under observation is this during a fit, whatever the unit was.
const TIME_SCALE: f64 = 10.0;

/// Fits a model of purchases by the surface of the mean log-likelihood of customers with weights.
/// Parameters at `times` have the unit of time, and are the second and perhaps the fourth.
fn fit_purchases<S: Surface<4>>(
    customers: Vec<([f64; 3], f64)>,
    starts: &[[f64; 4]],
    times: &[usize],
    surface: impl FnOnce(Vec<(Customer, f64)>) -> S,
) -> Result<Fit> {
    let n: f64 = customers.iter().map(|(_, weight)| weight).sum();
    let repeats: f64 = customers.iter().map(|([x, ..], weight)| weight * x).sum();
    let longest = customers
        .iter()
        .map(|([_, _, t], _)| *t)
        .fold(0.0, f64::max);
    let mut fit = Fit {
        n: n.round() as i64,
        ..Fit::default()
    };
    if customers.len() < 2 || repeats == 0.0 || longest == 0.0 {
        return Ok(fit);
    }
    let scale = TIME_SCALE / longest;
    let scaled = customers.into_iter().map(|([x, t_x, t], weight)| {
        let (t_x, t) = (t_x * scale, t * scale);
        (Customer { x, t_x, t }, weight)
    });
    let end = maximise(&starts.map_each(f64::ln), &surface(scaled.collect()))?;
    let shift = repeats * scale.ln();
    settle(&mut fit, end, n, shift, |place, value| {
        if times.contains(&place) {
            value / scale
        } else {
            value
        }
    });
    Ok(fit)
}

/// Starting points as logarithms.
trait MapEach<const N: usize> {
    fn map_each(&self, f: fn(f64) -> f64) -> Vec<[f64; N]>;
}

impl<const N: usize> MapEach<N> for [[f64; N]] {
    fn map_each(&self, f: fn(f64) -> f64) -> Vec<[f64; N]> {
        self.iter().map(|point| point.map(f)).collect()
    }
}

/// The log-likelihood of one customer on average.
pub(super) fn mean<const N: usize>((value, gradient): Slope<N>, n: f64) -> Slope<N> {
    (value / n, gradient.map(|slope| slope / n))
}

/// Writes down where the search ended; `shift` takes the likelihood back to the unit of the data.
pub(super) fn settle<const N: usize>(
    fit: &mut Fit,
    end: Option<Optimum<N>>,
    n: f64,
    shift: f64,
    unscaled: impl Fn(usize, f64) -> f64,
) {
    let Some(end) = end else {
        return;
    };
    fit.iterations = end.iterations as i64;
    if end.converged {
        let parameters = end.point.iter().enumerate();
        let parameters = parameters.map(|(place, value)| unscaled(place, value.exp()));
        fit.parameters = Some(parameters.collect());
        fit.log_likelihood = Some(end.value * n + shift);
    }
}

/// Where the searches start, in scaled time.
const BETA_GEOMETRIC_STARTS: [[f64; 4]; 2] = [[1.0, 3.0, 1.0, 3.0], [0.3, 2.0, 0.5, 2.0]];
const PARETO_STARTS: [[f64; 4]; 2] = [[1.0, 3.0, 1.0, 3.0], [0.5, 2.0, 0.3, 5.0]];
const GAMMA_GAMMA_STARTS: [[f64; 3]; 2] = [[5.0, 4.0, 0.6], [1.0, 2.0, 1.0]];

fn accept_customer(function: &str, values: &[f64]) -> Result<Option<[f64; 3]>> {
    let Customer { x, t_x, t } = Customer::checked(function, values[0], values[1], values[2])?;
    Ok(Some([x, t_x, t]))
}

const PURCHASE_COLUMNS: &[&str] = &["frequency", "recency", "t"];

/// Fits BG/NBD.
#[derive(Debug)]
pub(super) struct FitBgnbd;

impl Fitting for FitBgnbd {
    const KIND: Kind = Kind::Bgnbd;
    const FUNCTION: &'static str = "bgnbd_fit";
    const COLUMNS: &'static [&'static str] = PURCHASE_COLUMNS;

    fn accept(values: &[f64]) -> Result<Option<[f64; 3]>> {
        accept_customer(Self::FUNCTION, values)
    }

    fn fit(customers: Vec<([f64; 3], f64)>) -> Result<Fit> {
        fit_purchases(customers, &BETA_GEOMETRIC_STARTS, &[1], |scaled| {
            Likelihood::new(&scaled, 0.0)
        })
    }
}

/// Fits MBG/NBD.
#[derive(Debug)]
pub(super) struct FitMbgnbd;

impl Fitting for FitMbgnbd {
    const KIND: Kind = Kind::Mbgnbd;
    const FUNCTION: &'static str = "mbgnbd_fit";
    const COLUMNS: &'static [&'static str] = PURCHASE_COLUMNS;

    fn accept(values: &[f64]) -> Result<Option<[f64; 3]>> {
        accept_customer(Self::FUNCTION, values)
    }

    fn fit(customers: Vec<([f64; 3], f64)>) -> Result<Fit> {
        fit_purchases(customers, &BETA_GEOMETRIC_STARTS, &[1], |scaled| {
            Likelihood::new(&scaled, 1.0)
        })
    }
}

/// Fits Pareto/NBD.
#[derive(Debug)]
pub(super) struct FitParetoNbd;

impl Fitting for FitParetoNbd {
    const KIND: Kind = Kind::ParetoNbd;
    const FUNCTION: &'static str = "pareto_nbd_fit";
    const COLUMNS: &'static [&'static str] = PURCHASE_COLUMNS;

    fn accept(values: &[f64]) -> Result<Option<[f64; 3]>> {
        accept_customer(Self::FUNCTION, values)
    }

    fn fit(customers: Vec<([f64; 3], f64)>) -> Result<Fit> {
        let n: f64 = customers.iter().map(|(_, weight)| weight).sum();
        fit_purchases(customers, &PARETO_STARTS, &[1, 3], |scaled| {
            move |point: &[f64; 4]| mean(pareto::log_likelihood(point, &scaled), n)
        })
    }
}

/// Fits Gamma-Gamma.
#[derive(Debug)]
pub(super) struct FitGammaGamma;

impl Fitting for FitGammaGamma {
    const KIND: Kind = Kind::GammaGamma;
    const FUNCTION: &'static str = "gamma_gamma_fit";
    const COLUMNS: &'static [&'static str] = &["frequency", "monetary"];

    fn accept(values: &[f64]) -> Result<Option<[f64; 3]>> {
        let x = purchases(Self::FUNCTION, values[0])?;
        let mean = finite(Self::FUNCTION, "monetary", values[1])?;
        Ok((x > 0.0 && mean > 0.0).then_some([x, mean, 0.0]))
    }

    fn fit(customers: Vec<([f64; 3], f64)>) -> Result<Fit> {
        let n: f64 = customers.iter().map(|(_, weight)| weight).sum();
        let mut fit = Fit {
            n: n.round() as i64,
            ..Fit::default()
        };
        if customers.len() < 2 {
            return Ok(fit);
        }
        let means: f64 = customers
            .iter()
            .map(|([_, mean, _], weight)| weight * mean)
            .sum();
        let scale = n / means;
        let spend = |([x, mean, _], weight): &([f64; 3], f64)| {
            let (x, mean) = (*x, mean * scale);
            (Spend { x, mean }, *weight)
        };
        let scaled: Vec<_> = customers.iter().map(spend).collect();
        let surface = |point: &[f64; 3]| mean(gamma_gamma::log_likelihood(point, &scaled), n);
        let end = maximise(&GAMMA_GAMMA_STARTS.map_each(f64::ln), &surface)?;
        settle(&mut fit, end, n, n * scale.ln(), |place, value| {
            if place == 2 { value / scale } else { value }
        });
        Ok(fit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_came_back_identifies_nothing() {
        let fit = FitBgnbd::fit(vec![([0.0, 0.0, 5.0], 3.0), ([0.0, 0.0, 9.0], 1.0)]).unwrap();
        assert_eq!((fit.parameters, fit.n), (None, 4));
        let fit = FitBgnbd::fit(vec![([3.0, 1.0, 5.0], 30.0)]).unwrap();
        assert_eq!((fit.parameters, fit.n), (None, 30));
        assert_eq!(FitGammaGamma::fit(Vec::new()).unwrap().n, 0);
    }

    /// A uniform number in 0..1, from a multiplicative sequence (Knuth's MMIX constants).
    fn uniform(seed: &mut u64) -> f64 {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((*seed >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
    }

    /// Customers with exponential rates and uniform chances to leave: r = a = b = 1.
    fn drawn(chances: u32) -> Vec<([f64; 3], f64)> {
        const ALPHA: f64 = 6.0;
        let (mut seed, t) = (2_024, 50.0);
        let mut customers: Vec<_> = (0..40_000)
            .map(|_| {
                let (rate, leaves) = (-uniform(&mut seed).ln() / ALPHA, uniform(&mut seed));
                let (mut x, mut t_x) = (0.0, 0.0);
                let mut here = chances == 0 || uniform(&mut seed) > leaves;
                while here {
                    let next = t_x - uniform(&mut seed).ln() / rate;
                    if next > t {
                        break;
                    }
                    (x, t_x) = (x + 1.0, next);
                    here = uniform(&mut seed) > leaves;
                }
                ([x, t_x, t], 1.0)
            })
            .collect();
        customers.sort_by(|left, right| left.0.partial_cmp(&right.0).unwrap());
        customers
    }

    #[test]
    fn a_fit_finds_the_parameters_that_customers_were_drawn_from() {
        for (fit, chances) in [
            (FitBgnbd::fit as fn(Vec<_>) -> Result<Fit>, 0),
            (FitMbgnbd::fit, 1),
        ] {
            let found = fit(drawn(chances)).unwrap().parameters.unwrap();
            for (found, truth) in found.iter().zip([1.0, 6.0, 1.0, 1.0]) {
                assert!(
                    (found / truth - 1.0).abs() < 0.15,
                    "{chances}: {found} for {truth}"
                );
            }
        }
    }

    #[test]
    fn ten_thousand_purchases_do_not_make_nan() {
        let mut customers = drawn(0);
        customers.push(([10_000.0, 49.0, 50.0], 1.0));
        let point = [0.0, 0.5, -0.5, 0.5];
        let all: Vec<_> = customers
            .iter()
            .map(|([x, t_x, t], weight)| {
                let (x, t_x, t) = (*x, *t_x, *t);
                (Customer { x, t_x, t }, *weight)
            })
            .collect();
        for (value, gradient) in [
            Likelihood::new(&all, 0.0).slope(&point),
            pareto::log_likelihood(&point, &all),
        ] {
            assert!(value.is_finite() && gradient.iter().all(|slope| slope.is_finite()));
        }
    }
}
