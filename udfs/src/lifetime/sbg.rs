//! Shifted beta-geometric: at the end of each period of a contract a customer leaves with a
//! probability of their own, which is beta distributed. Source: Fader and Hardie 2007, "How to
//! project customer retention"; residual lifetime: Fader and Hardie 2010, "Customer-base valuation
//! in a contractual setting".

use crate::lifetime::optimise::Slope;
use crate::lifetime::quadrature::beta_mean;
use crate::lifetime::special::{digamma, ln_gamma};

/// Parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sbg {
    pub(super) alpha: f64,
    pub(super) beta: f64,
}

impl Sbg {
    /// The share of customers who are left after n renewals.
    pub(super) fn survival(&self, n: u32) -> f64 {
        (1..=n).map(|period| self.retention(period)).product()
    }

    /// The share of those left after n - 1 renewals who renew once more, n from 1.
    pub(super) fn retention(&self, n: u32) -> f64 {
        let stays = self.stays(n);
        stays / (self.alpha + stays)
    }

    /// Expected renewals, the next one among them, of a customer who has renewed n - 1 times, each
    /// discounted by the periods between it and the next one; `None` if there is no end of them.
    ///
    /// The published `(β+n−1)/(α+β+n−1)·₂F₁(1, β+n; α+β+n; 1/(1+d))` is the mean of `(1+d)/(d+p)`
    /// over probabilities p of Beta(α, β+n) instead of the series, which has no end at a small d.
    pub(super) fn residual_lifetime(&self, n: u32, discount: f64) -> Option<f64> {
        /// Below it the mean is taken over the next larger shape, because that of 1/p is nearly all
        /// in a tail.
        const SHAPE_MIN: f64 = 0.25;
        let (alpha, stays) = (self.alpha, self.stays(n));
        if discount == 0.0 {
            return (alpha > 1.0).then(|| stays / (alpha - 1.0));
        }
        let beta = self.beta + f64::from(n);
        let series = if alpha >= SHAPE_MIN {
            beta_mean(alpha, beta, |p, _| (1.0 + discount) / (discount + p))
        } else {
            // From 1/(d+p) = (1 − p/(d+p))/d.
            let tail = beta_mean(alpha + 1.0, beta, |p, _| 1.0 / (discount + p));
            (1.0 + discount) / discount * (1.0 - alpha / (alpha + beta) * tail)
        };
        Some(self.retention(n) * series)
    }

    /// The second shape of those who have renewed n - 1 times.
    fn stays(&self, n: u32) -> f64 {
        self.beta + f64::from(n.saturating_sub(1))
    }
}

/// What is known of the time between two counts of survivors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// Periods since the start, at the first of the counts and at the second.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Customers lost.
    pub(super) lost: f64,
}

/// The log-likelihood and its gradient by the logarithms of alpha and beta; `kept` customers are
/// left at the end. The spans follow one upon the other, the first from 0.
pub(super) fn log_likelihood(log_parameters: &[f64; 2], spans: &[Span], kept: f64) -> Slope<2> {
    let [alpha, beta] = log_parameters.map(f64::exp);
    let (mut value, mut gradient) = (0.0, [0.0; 2]);
    // Minus the logarithm of the survival up to here.
    let mut hazard = Hazard::default();
    let mut count = |customers: f64, ln: f64, slopes: [f64; 2]| {
        value += customers * ln;
        gradient[0] += customers * slopes[0];
        gradient[1] += customers * slopes[1];
    };
    for Span { from, to, lost } in spans {
        let step = Hazard::between(alpha, beta, *from, *to);
        if *lost > 0.0 {
            // ln(S(from) − S(to)), where S(to)/S(from) is e to the minus step.
            let ln = (-(-step.value).exp_m1()).ln() - hazard.value;
            let odds = 1.0 / step.value.exp_m1();
            let slopes = [0, 1].map(|axis| odds * step.slopes[axis] - hazard.slopes[axis]);
            count(*lost, ln, slopes);
        }
        hazard = hazard.and(&step);
    }
    if kept > 0.0 {
        count(kept, -hazard.value, hazard.slopes.map(|slope| -slope));
    }
    (value, [gradient[0] * alpha, gradient[1] * beta])
}

/// `ln(S(from)/S(to))` and its derivatives by alpha and beta.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Hazard {
    value: f64,
    slopes: [f64; 2],
}

impl Hazard {
    fn between(alpha: f64, beta: f64, from: f64, to: f64) -> Self {
        /// More periods than this are not added up one by one.
        const SUMMED_MAX: f64 = 64.0;
        if to - from > SUMMED_MAX {
            let (start, end) = (beta + from, beta + to);
            let stays = digamma(end) - digamma(start);
            let all = digamma(alpha + end) - digamma(alpha + start);
            let value =
                ln_gamma(alpha + end) - ln_gamma(alpha + start) - (ln_gamma(end) - ln_gamma(start));
            let slopes = [all, all - stays];
            return Self { value, slopes };
        }
        let mut sum = Self::default();
        let mut at = from;
        while at < to {
            let stays = beta + at;
            let by_alpha = 1.0 / (alpha + stays);
            sum.value += (alpha / stays).ln_1p();
            sum.slopes[0] += by_alpha;
            sum.slopes[1] -= alpha / stays * by_alpha;
            at += 1.0;
        }
        sum
    }

    fn and(&self, next: &Self) -> Self {
        Self {
            value: self.value + next.value,
            slopes: [0, 1].map(|axis| self.slopes[axis] + next.slopes[axis]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the published form with ₂F₁, by mpmath at 40 digits.
    #[test]
    fn residual_lifetimes_from_even_to_extreme_shapes() {
        for (alpha, beta, n, discount, known) in [
            (0.668, 3.806, 8, 0.1, 7.529_949_530_910_969_f64),
            (0.704, 1.182, 1, 0.1, 2.964_662_146_132_031_5),
            (0.668, 3.806, 8, 1e-4, 245.617_775_586_801_3),
            (0.668, 3.806, 1, 1e-6, 615.291_543_143_006_4),
            (0.01, 0.02, 1, 0.05, 13.585_987_536_819_026),
            (1e-6, 1.0, 1, 0.01, 100.999_529_212_804_55),
            (0.2, 0.5, 3, 1e-5, 13_525.630_401_792_325),
            (5e5, 2e6, 40, 0.002, 3.968_401_396_895_957),
            (3.5, 1e-6, 1, 0.1, 3.798_693_759_542_310_3e-7),
            (0.3, 1e6, 500, 1e-3, 1_000.699_939_210_386),
            (1.0, 1.0, 1, 10.0, 0.532_531_756_323_308),
        ] {
            let got = Sbg { alpha, beta }.residual_lifetime(n, discount).unwrap();
            assert!((got / known - 1.0).abs() < 1e-10, "{alpha} {beta}: {got}");
        }
    }

    #[test]
    fn without_discount_a_lifetime_may_have_no_end() {
        let ends = Sbg {
            alpha: 3.0,
            beta: 4.0,
        };
        assert_eq!(ends.residual_lifetime(3, 0.0), Some(3.0));
        let near = ends.residual_lifetime(3, 1e-12).unwrap();
        assert!((near - 3.0).abs() < 1e-9, "{near}");
        let endless = Sbg { alpha: 1.0, ..ends };
        assert_eq!(endless.residual_lifetime(3, 0.0), None);
    }

    #[test]
    fn survival_is_the_product_of_retention() {
        // With both shapes 1 it is 1/(1 + n).
        let model = Sbg {
            alpha: 1.0,
            beta: 1.0,
        };
        assert_eq!(model.survival(0), 1.0);
        assert!((model.survival(9) - 0.1).abs() < 1e-15);
        assert!((model.retention(9) - 0.9).abs() < 1e-15);
        let tiny = Sbg {
            alpha: 1e300,
            beta: 1e-300,
        };
        assert_eq!(tiny.survival(10_000), 0.0);
    }

    #[test]
    fn both_ways_through_a_span_agree() {
        for (alpha, beta) in [(0.7, 1.2), (30.0, 0.01), (0.02, 500.0)] {
            let whole = Hazard::between(alpha, beta, 3.0, 100.0);
            let halves = Hazard::between(alpha, beta, 3.0, 50.0);
            let halves = halves.and(&Hazard::between(alpha, beta, 50.0, 100.0));
            assert!((whole.value - halves.value).abs() < 1e-11 * (1.0 + halves.value));
            for axis in [0, 1] {
                let (whole, halves) = (whole.slopes[axis], halves.slopes[axis]);
                assert!((whole - halves).abs() < 1e-12, "{whole} {halves}");
            }
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let span = |from, to, lost| Span { from, to, lost };
        let spans = [
            span(0.0, 1.0, 0.3),
            span(1.0, 2.0, 0.0),
            span(2.0, 90.0, 0.2),
        ];
        let at = [-0.4, 0.9];
        let (_, gradient) = log_likelihood(&at, &spans, 0.5);
        for axis in 0..2 {
            let shifted = |by: f64| {
                let mut point = at;
                point[axis] += by;
                log_likelihood(&point, &spans, 0.5).0
            };
            let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!((slope - gradient[axis]).abs() < 1e-8, "{axis}");
        }
    }
}
