//! Gamma-Gamma: what customers spend per purchase varies around a mean of their own, both gamma
//! distributed. Source: Fader and Hardie 2013, note 025.

use crate::lifetime::optimise::Slope;
use crate::lifetime::special::{digamma, ln_gamma};

/// Parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GammaGamma {
    pub(super) p: f64,
    pub(super) q: f64,
    pub(super) v: f64,
}

impl GammaGamma {
    /// Expected mean spend of a customer with x repeat purchases of this mean; `None` if the
    /// distribution of means has no mean.
    pub(super) fn spend(&self, x: f64, mean: f64) -> Option<f64> {
        if self.q <= 1.0 {
            return None;
        }
        let seen = if x > 0.0 { x * mean } else { 0.0 };
        Some(self.p * (self.v + seen) / (self.p * x + self.q - 1.0))
    }
}

/// Purchases and their mean spend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spend {
    pub(super) x: f64,
    pub(super) mean: f64,
}

/// The log-likelihood and its gradient by the logarithms of p, q and v. Customers must be sorted
/// by their number of purchases.
pub(super) fn log_likelihood(log_parameters: &[f64; 3], customers: &[(Spend, f64)]) -> Slope<3> {
    let [p, q, v] = log_parameters.map(f64::exp);
    let ln_v = log_parameters[2];
    let (ln_gamma_q, digamma_q) = (ln_gamma(q), digamma(q));
    let of_count = |x: f64| {
        let of_sum = digamma(p * x + q);
        (
            ln_gamma(p * x + q) - ln_gamma(p * x) - ln_gamma_q + q * ln_v,
            x * (of_sum - digamma(p * x) + x.ln()),
            of_sum - digamma_q + ln_v,
        )
    };
    let mut last = (1.0, of_count(1.0));
    let (mut value, mut gradient) = (0.0, [0.0; 3]);
    for (Spend { x, mean }, weight) in customers {
        if last.0 != *x {
            last = (*x, of_count(*x));
        }
        let (total, ln_mean) = (v + mean * x, mean.ln());
        let ln_total = total.ln();
        let powers = (p * x - 1.0) * ln_mean + p * x * x.ln() - (p * x + q) * ln_total;
        value += weight * (last.1.0 + powers);
        gradient[0] += weight * (last.1.1 + x * (ln_mean - ln_total));
        gradient[1] += weight * (last.1.2 - ln_total);
        gradient[2] += weight * (q / v - (p * x + q) / total);
    }
    let natural = [p, q, v];
    (
        value,
        std::array::from_fn(|axis| gradient[axis] * natural[axis]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spend_is_pulled_from_the_mean_of_all_towards_the_customers_own() {
        let model = GammaGamma {
            p: 6.25,
            q: 3.74,
            v: 15.44,
        };
        let all = model.spend(0.0, 0.0).unwrap();
        assert!((all - 35.218_978_102_189_78).abs() < 1e-12);
        assert!((model.spend(2.0, 22.35).unwrap() - 24.663_713_910_761_157).abs() < 1e-12);
        assert!((model.spend(1e6, 22.35).unwrap() - 22.35).abs() < 1e-4);
    }

    #[test]
    fn a_distribution_without_mean_has_no_expected_spend() {
        assert_eq!(
            GammaGamma {
                p: 6.0,
                q: 1.0,
                v: 15.0
            }
            .spend(3.0, 10.0),
            None
        );
    }

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let customers = [
            (Spend { x: 1.0, mean: 0.8 }, 2.0),
            (Spend { x: 3.0, mean: 1.4 }, 1.0),
            (Spend { x: 30.0, mean: 0.2 }, 1.0),
        ];
        let at = [0.7, 0.4, 0.2];
        let (_, gradient) = log_likelihood(&at, &customers);
        for axis in 0..3 {
            let shifted = |by: f64| {
                let mut point = at;
                point[axis] += by;
                log_likelihood(&point, &customers).0
            };
            let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!((slope - gradient[axis]).abs() < 1e-6, "{axis}");
        }
    }
}
