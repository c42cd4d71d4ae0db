//! Pareto/NBD: customers buy at random times at a rate of their own and leave at a random time, at
//! a rate of their own; both rates are gamma distributed. Source: Schmittlein, Morrison and Colombo
//! 1987; likelihood of Fader and Hardie, note 009.
//!
//! The published form subtracts two hypergeometric functions. Their difference is an integral over
//! the time at which the customer may have left, `∫ (α+y)^−(r+x) (β+y)^−(s+1) dy` from the last
//! purchase to now; integrating it keeps all digits, and gives the gradient on the way.

use crate::lifetime::customer::Customer;
use crate::lifetime::optimise::Slope;
use crate::lifetime::quadrature::panel;
use crate::lifetime::special::{digamma, ln_gamma};

/// Parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ParetoNbd {
    pub(super) r: f64,
    pub(super) alpha: f64,
    pub(super) s: f64,
    pub(super) beta: f64,
}

/// Parts of the integral, relative to the probability density of being there now.
#[derive(Debug, Clone, Copy, Default)]
struct Left {
    /// s·∫
    odds: f64,
    /// Means over the time of leaving, times `odds`: of ln(α+y), ln(β+y), 1/(α+y) and 1/(β+y).
    ln_alpha: f64,
    ln_beta: f64,
    by_alpha: f64,
    by_beta: f64,
}

impl ParetoNbd {
    /// The odds of having left, with what the gradient needs; as logarithm of a factor and a rest,
    /// because the odds overflow for customers who are surely gone.
    fn left(&self, customer: &Customer) -> (f64, Left) {
        /// Panels of an integral; beyond it nothing is left to add.
        const PANELS_MAX: usize = 200;
        /// Of an integrand in logarithms, over one panel and over all that counts.
        const DROP_PER_PANEL: f64 = 5.0;
        const DROP_MAX: f64 = 42.0;
        /// Panels are shorter than the distance to the integrand's nearest singularity.
        const LENGTH_MAX: f64 = 2.0;
        let (rho, smaller) = (self.r + customer.x, self.alpha.min(self.beta));
        let (alpha_apart, beta_apart) = (self.alpha - smaller, self.beta - smaller);
        // In the logarithm v of smaller + y, where the integrand has one more factor e^v.
        let (start, end) = ((smaller + customer.t_x).ln(), (smaller + customer.t).ln());
        let ln_at = |v: f64| {
            let shifted = v.exp();
            let (ln_alpha, ln_beta) = ((shifted + alpha_apart).ln(), (shifted + beta_apart).ln());
            (
                v - rho * ln_alpha - (self.s + 1.0) * ln_beta,
                ln_alpha,
                ln_beta,
            )
        };
        let top = ln_at(start).0.max(ln_at(end).0);
        let mut left = Left::default();
        let mut from = start;
        for _ in 0..PANELS_MAX {
            if from >= end || (from > start && ln_at(from).0 < top - DROP_MAX) {
                break;
            }
            let shifted = from.exp();
            let slope = 1.0
                - rho * shifted / (shifted + alpha_apart)
                - (self.s + 1.0) * shifted / (shifted + beta_apart);
            let to = end.min(from + LENGTH_MAX.min(DROP_PER_PANEL / slope.abs()));
            for (v, weight) in panel(from, to) {
                let (ln_value, ln_alpha, ln_beta) = ln_at(v);
                let value = weight * (ln_value - top).exp();
                left.odds += value;
                left.ln_alpha += value * ln_alpha;
                left.ln_beta += value * ln_beta;
                left.by_alpha += value * (-ln_alpha).exp();
                left.by_beta += value * (-ln_beta).exp();
            }
            from = to;
        }
        let now = -rho * (self.alpha + customer.t).ln() - self.s * (self.beta + customer.t).ln();
        (self.s.ln() + top - now, left)
    }

    pub(super) fn p_alive(&self, customer: &Customer) -> f64 {
        let (ln_factor, left) = self.left(customer);
        if left.odds == 0.0 {
            return 1.0;
        }
        1.0 / (1.0 + (ln_factor + left.odds.ln()).exp())
    }

    /// Expected purchases within a time from now, of a customer who is still there.
    pub(super) fn while_alive(&self, customer: &Customer, horizon: f64) -> f64 {
        let rate = (self.r + customer.x) / (self.alpha + customer.t);
        let known = self.beta + customer.t;
        let longer = (horizon / known).ln_1p();
        let power = self.s - 1.0;
        // (1 − e^(−power·longer))/power, which is `longer` at s = 1.
        let stays = if (power * longer).abs() < 1e-12 {
            longer
        } else {
            -(-power * longer).exp_m1() / power
        };
        rate * known * stays
    }

    /// P(X(t) = n) for a new customer.
    pub(super) fn probability(&self, n: f64, t: f64) -> f64 {
        /// Panels per factor e of time, and how far below the shorter scale time starts.
        const PANEL: f64 = 0.5;
        const START: f64 = 45.0;
        if t == 0.0 {
            return f64::from(u8::from(n == 0.0));
        }
        let of_count = ln_gamma(self.r + n) - ln_gamma(self.r) - ln_gamma(n + 1.0);
        let ln_exactly = |y: f64| {
            let some = if n == 0.0 {
                0.0
            } else {
                n * (y / (self.alpha + y)).ln()
            };
            of_count + self.r * (self.alpha / (self.alpha + y)).ln() + some
        };
        let ln_stays = |y: f64| self.s * (self.beta / (self.beta + y)).ln();
        let mut sum = (ln_exactly(t) + ln_stays(t)).exp();
        let end = t.ln();
        let mut from = end.min(self.alpha.min(self.beta).ln()) - START;
        while from < end {
            let to = end.min(from + PANEL);
            for (v, weight) in panel(from, to) {
                let y = v.exp();
                let leaves = ln_stays(y) + (self.s / (self.beta + y)).ln();
                sum += weight * (v + leaves + ln_exactly(y)).exp();
            }
            from = to;
        }
        sum
    }
}

/// The log-likelihood and its gradient by the logarithms of r, alpha, s and beta. Customers must
/// be sorted by their number of purchases.
pub(super) fn log_likelihood(log_parameters: &[f64; 4], customers: &[(Customer, f64)]) -> Slope<4> {
    let [r, alpha, s, beta] = log_parameters.map(f64::exp);
    let model = ParetoNbd { r, alpha, s, beta };
    let (ln_alpha, ln_beta) = (log_parameters[1], log_parameters[3]);
    let (ln_gamma_r, digamma_r) = (ln_gamma(r), digamma(r));
    let of_count = |x: f64| (ln_gamma(r + x) - ln_gamma_r, digamma(r + x) - digamma_r);
    let mut last = (0.0, of_count(0.0));
    let (mut value, mut gradient) = (0.0, [0.0; 4]);
    for (customer, weight) in customers {
        let Customer { x, t, .. } = *customer;
        if last.0 != x {
            last = (x, of_count(x));
        }
        let (ln_factor, left) = model.left(customer);
        let (gone, mean) = if left.odds == 0.0 {
            (0.0, Left::default())
        } else {
            let part = |part: f64| part / left.odds;
            let mean = Left {
                odds: ln_factor + left.odds.ln(),
                ln_alpha: part(left.ln_alpha),
                ln_beta: part(left.ln_beta),
                by_alpha: part(left.by_alpha),
                by_beta: part(left.by_beta),
            };
            (1.0 / (1.0 + (-mean.odds).exp()), mean)
        };
        let here = 1.0 - gone;
        let (end_alpha, end_beta) = ((alpha + t).ln(), (beta + t).ln());
        let odds = if gone == 0.0 {
            f64::NEG_INFINITY
        } else {
            mean.odds
        };
        let density =
            -(r + x) * end_alpha - s * end_beta + crate::lifetime::special::softplus(odds);
        value += weight * (last.1.0 + r * ln_alpha + s * ln_beta + density);
        gradient[0] += weight * (last.1.1 + ln_alpha - here * end_alpha - gone * mean.ln_alpha);
        let pull = here / (alpha + t) + gone * mean.by_alpha;
        gradient[1] += weight * (r / alpha - (r + x) * pull);
        gradient[2] += weight * (ln_beta - here * end_beta + gone * (1.0 / s - mean.ln_beta));
        let pull = here * s / (beta + t) + gone * (s + 1.0) * mean.by_beta;
        gradient[3] += weight * (s / beta - pull);
    }
    let natural = [r, alpha, s, beta];
    (
        value,
        std::array::from_fn(|axis| gradient[axis] * natural[axis]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customers_that_made_published_code_give_nan() {
        let model = ParetoNbd {
            r: 0.5143,
            alpha: 2.8845,
            s: 0.2856,
            beta: 14.1087,
        };
        for (x, t_x, t, known) in [
            (221.0, 103.428_57, 103.571_43, 0.999_596_052_317_938_1),
            (254.0, 97.142_86, 97.285_71, 0.999_558_226_123_010_7),
            (204.0, 98.571_43, 99.428_57, 0.994_255_079_637_896),
        ] {
            let got = model.p_alive(&Customer { x, t_x, t });
            assert!((got - known).abs() < 1e-11, "{got} {known}");
        }
        let busy = Customer {
            x: 10_000.0,
            t_x: 10.0,
            t: 500.0,
        };
        assert_eq!(model.p_alive(&busy), 0.0);
    }

    #[test]
    fn s_equal_to_one_is_no_hole() {
        let model = |s| ParetoNbd {
            r: 0.55,
            alpha: 10.6,
            s,
            beta: 11.7,
        };
        let customer = Customer {
            x: 2.0,
            t_x: 30.0,
            t: 38.0,
        };
        let [below, at, above] =
            [1.0 - 1e-7, 1.0, 1.0 + 1e-7].map(|s| model(s).while_alive(&customer, 39.0));
        assert!((below / at - 1.0).abs() < 1e-6 && (above / at - 1.0).abs() < 1e-6);
    }

    #[test]
    fn probabilities_of_counts_sum_to_one() {
        let model = ParetoNbd {
            r: 0.553,
            alpha: 10.578,
            s: 0.606,
            beta: 11.669,
        };
        let all: f64 = (0..200)
            .map(|n| model.probability(f64::from(n), 39.0))
            .sum();
        assert!((all - 1.0).abs() < 1e-9, "{all}");
    }

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let customers = [
            (
                Customer {
                    x: 0.0,
                    t_x: 0.0,
                    t: 9.0,
                },
                3.0,
            ),
            (
                Customer {
                    x: 1.0,
                    t_x: 2.0,
                    t: 8.0,
                },
                1.0,
            ),
            (
                Customer {
                    x: 12.0,
                    t_x: 7.5,
                    t: 8.0,
                },
                2.0,
            ),
            (
                Customer {
                    x: 3.0,
                    t_x: 8.0,
                    t: 8.0,
                },
                1.0,
            ),
        ];
        for at in [[-0.7, 1.4, 0.2, 0.9], [0.3, 0.1, -0.5, 2.0]] {
            let (_, gradient) = log_likelihood(&at, &customers);
            for axis in 0..4 {
                let shifted = |by: f64| {
                    let mut point = at;
                    point[axis] += by;
                    log_likelihood(&point, &customers).0
                };
                let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                assert!((slope - gradient[axis]).abs() < 1e-7, "{at:?} {axis}");
            }
        }
    }
}
