//! BG/NBD and MBG/NBD: customers buy at random times at a rate of their own (gamma distributed)
//! and leave after a purchase with a probability of their own (beta distributed). In MBG/NBD the
//! first purchase may be the last; all its formulas are those of BG/NBD with one purchase more
//! after which the customer could have left. Sources: Fader, Hardie and Lee 2005; Batislam, Denizel
//! and Filiztekin 2007.
//!
//! A customer who is still there makes N purchases in a time if none makes them leave, where N is
//! negative binomial; after i purchases they are still there with probability `(b)ᵢ/(a+b)ᵢ`. So the
//! expected number is `Σₙ P(N = n)·Σ_{i<n} (b)ᵢ/(a+b)ᵢ`: all terms are positive, and unlike the
//! published form with ₂F₁, which it equals, it has no hole at a = 1 and cannot overflow.

use crate::lifetime::customer::Customer;
use crate::lifetime::quadrature::beta_mean;
use crate::lifetime::special::{ln_beta, ln_gamma};

/// Parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BetaGeometric {
    pub(super) r: f64,
    pub(super) alpha: f64,
    pub(super) a: f64,
    pub(super) b: f64,
    /// Chances to leave before the first repeat purchase: 0 in BG/NBD, 1 in MBG/NBD.
    pub(super) chances: f64,
}

impl BetaGeometric {
    /// Chances to leave that a customer with x repeat purchases has had.
    fn chances_of(&self, x: f64) -> f64 {
        x + self.chances
    }

    pub(super) fn p_alive(&self, customer: &Customer) -> f64 {
        let Customer { x, t_x, t } = *customer;
        let chances = self.chances_of(x);
        if chances == 0.0 {
            return 1.0;
        }
        let silence = ((self.alpha + t) / (self.alpha + t_x)).ln();
        // Infinite odds of having left are as good as any: nobody is there then.
        let odds = self.a / (self.b + chances - 1.0) * ((self.r + x) * silence).exp();
        1.0 / (1.0 + odds)
    }

    /// P(X(t) = n) for a new customer.
    pub(super) fn probability(&self, n: f64, t: f64) -> f64 {
        let z = t / (self.alpha + t);
        let ln_no_purchase = self.r * (self.alpha / (self.alpha + t)).ln();
        let ln_exactly = |n: f64| {
            let purchases = if n == 0.0 { 0.0 } else { n * z.ln() };
            ln_gamma(self.r + n) - ln_gamma(self.r) - ln_gamma(n + 1.0) + ln_no_purchase + purchases
        };
        let chances = self.chances_of(n);
        let ln_all = ln_beta(self.a, self.b);
        let stayed = (ln_beta(self.a, self.b + chances) - ln_all + ln_exactly(n)).exp();
        if chances == 0.0 {
            return stayed;
        }
        let left = (ln_beta(self.a + 1.0, self.b + chances - 1.0) - ln_all).exp();
        stayed + left * at_least(self.r, z, n, ln_exactly(n).exp())
    }
}

/// P(N ≥ n) of a negative binomial, from P(N = n), by whichever tail is shorter.
fn at_least(r: f64, z: f64, n: f64, exactly: f64) -> f64 {
    const TERMS_MAX: usize = 100_000;
    let mean = r * z / (1.0 - z);
    let (mut term, mut sum) = (exactly, 0.0);
    if n > mean {
        let mut k = n;
        for _ in 0..TERMS_MAX {
            sum += term;
            term *= (r + k) / (k + 1.0) * z;
            k += 1.0;
            if term <= f64::EPSILON * sum * (1.0 - z) {
                break;
            }
        }
        return sum;
    }
    let mut k = n;
    for _ in 0..TERMS_MAX {
        if k < 1.0 || (term <= f64::EPSILON * sum / 16.0 && k < n) {
            break;
        }
        term *= k / ((r + k - 1.0) * z);
        sum += term;
        k -= 1.0;
    }
    1.0 - sum
}

/// Expected purchases of one customer over several horizons; what does not depend on the horizon
/// is kept.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    rho: f64,
    /// Time that the customer's rate is known by.
    known: f64,
    a: f64,
    b: f64,
    alive: f64,
    /// Per purchase: how much less likely it is than the one before at the same rate, and how many
    /// the customer stays for on average.
    steps: Vec<(f64, f64)>,
    stays: f64,
    survives: f64,
}

/// More purchases than this are integrated over, not summed up.
const TERMS_MAX: f64 = 20_000.0;

impl Expectation {
    /// For a customer with a history.
    pub(super) fn of(&mut self, model: &BetaGeometric, customer: &Customer) {
        self.start(model, customer, model.p_alive(customer));
    }

    fn start(&mut self, model: &BetaGeometric, customer: &Customer, alive: f64) {
        self.rho = model.r + customer.x;
        self.known = model.alpha + customer.t;
        self.a = model.a;
        self.b = model.b + model.chances_of(customer.x);
        self.alive = alive;
        self.steps.clear();
        (self.stays, self.survives) = (0.0, 1.0);
    }

    /// Expected purchases within a time from now.
    pub(super) fn within(&mut self, horizon: f64) -> f64 {
        self.alive * self.while_alive(horizon / self.known)
    }

    fn while_alive(&mut self, w: f64) -> f64 {
        const HUGE: f64 = 1e250;
        let mean = self.rho * w;
        let likely = mean + 12.0 * (mean * (1.0 + w)).sqrt() + 40.0 * (1.0 + w);
        if likely > TERMS_MAX {
            return self.integrated(w);
        }
        let z = w / (1.0 + w);
        let (mut term, mut total, mut sum) = (1.0, 1.0, 0.0);
        for n in 1..2 * TERMS_MAX as usize {
            let (ratio, stays) = self.step(n);
            term *= ratio * z;
            total += term;
            sum += term * stays;
            if term > HUGE {
                (term, total, sum) = (term / HUGE, total / HUGE, sum / HUGE);
            }
            if n as f64 > mean && term * stays * (1.0 + w) <= f64::EPSILON / 8.0 * sum {
                break;
            }
        }
        sum / total
    }

    /// The n-th entry of `steps`, n from 1.
    #[inline]
    fn step(&mut self, n: usize) -> (f64, f64) {
        if let Some(step) = self.steps.get(n - 1) {
            return *step;
        }
        let before = (n - 1) as f64;
        self.stays += self.survives;
        self.survives *= (self.b + before) / (self.a + self.b + before);
        let step = ((self.rho + before) / n as f64, self.stays);
        self.steps.push(step);
        step
    }

    /// The same as the mean of `(1 − (1 + p·w)^−ρ)/p` over the distribution of p.
    fn integrated(&self, w: f64) -> f64 {
        let rho = self.rho;
        beta_mean(self.a, self.b, |p, _| {
            if p < f64::MIN_POSITIVE {
                return rho * w;
            }
            -(-rho * (p * w).ln_1p()).exp_m1() / p
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: BetaGeometric = BetaGeometric {
        r: 0.243,
        alpha: 4.414,
        a: 0.793,
        b: 2.426,
        chances: 0.0,
    };

    fn expected(model: &BetaGeometric, customer: Customer, horizon: f64) -> f64 {
        let mut expectation = Expectation::default();
        expectation.of(model, &customer);
        expectation.within(horizon)
    }

    /// Values of ₂F₁(a, b; c; z) by mpmath: the sum equals `c/(c−b)·(1 − (1−z)^a·₂F₁)`.
    #[test]
    fn the_sum_equals_the_hypergeometric_form() {
        for (a, b, c, z, known) in [
            (2.243, 4.426, 4.219, 0.474, 4.574_781_444_616_262),
            (29.243, 31.426, 31.219, 0.474, 163_762_893.973_250_1),
            (0.243, 2.426, 2.219, 0.999, 11.096_504_288_680_494),
            (0.3, 0.4, -0.3, 0.6, 0.257_330_410_008_509_87_f64),
        ] {
            let mut expectation = Expectation {
                rho: a,
                known: 1.0,
                a: c - b + 1.0,
                b,
                alive: 1.0,
                survives: 1.0,
                ..Expectation::default()
            };
            let w: f64 = z / (1.0 - z);
            for sum in [expectation.within(w), expectation.integrated(w)] {
                let f = (1.0 - sum * (c - b) / c) / f64::powf(1.0 - z, a);
                assert!((f / known - 1.0).abs() < 1e-10, "{a} {b} {c} {z}: {f}");
            }
        }
    }

    #[test]
    fn a_equal_to_one_is_no_hole() {
        let customer = Customer {
            x: 2.0,
            t_x: 30.43,
            t: 38.86,
        };
        let model = BetaGeometric {
            a: 1.0,
            ..PUBLISHED
        };
        assert!((expected(&model, customer, 30.0) - 0.885_274_641_610_667_4).abs() < 1e-12);
    }

    #[test]
    fn ten_thousand_purchases_and_endless_horizons_are_numbers() {
        let busy = Customer {
            x: 10_000.0,
            t_x: 500.0,
            t: 500.0,
        };
        assert!(PUBLISHED.p_alive(&busy) > 0.99);
        let near = expected(&PUBLISHED, busy, 1.0);
        assert!((18.0..20.0).contains(&near), "{near}");
        let far = expected(&PUBLISHED, busy, 1e9);
        assert!(far.is_finite() && far > near, "{far}");
        let silent = Customer {
            x: 10_000.0,
            t_x: 100.0,
            t: 500.0,
        };
        assert_eq!(PUBLISHED.p_alive(&silent), 0.0);
        let new = expected(&PUBLISHED, Customer::NEW, 1e12);
        assert!(new.is_finite(), "{new}");
    }

    #[test]
    fn both_ways_to_the_expectation_agree() {
        let customer = Customer {
            x: 7.0,
            t_x: 29.43,
            t: 38.86,
        };
        let mut expectation = Expectation::default();
        expectation.of(&PUBLISHED, &customer);
        for horizon in [0.01, 1.0, 39.0, 400.0] {
            let w = horizon / expectation.known;
            let (summed, integrated) = (expectation.while_alive(w), expectation.integrated(w));
            assert!((summed / integrated - 1.0).abs() < 1e-11, "{horizon}");
        }
    }

    #[test]
    fn probabilities_of_counts_sum_to_one() {
        for chances in [0.0, 1.0] {
            let model = BetaGeometric {
                chances,
                ..PUBLISHED
            };
            let all: f64 = (0..400)
                .map(|n| model.probability(f64::from(n), 30.0))
                .sum();
            assert!((all - 1.0).abs() < 1e-6, "{chances}: {all}");
        }
        let ten_in_two = PUBLISHED.probability(10.0, 2.0);
        assert!((ten_in_two / 1.078_689_640_369_147_8e-7 - 1.0).abs() < 1e-9);
    }
}
