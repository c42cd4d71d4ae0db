//! Random draws that depend on nothing but the seed, the table and the customer.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Beta, Distribution, Gamma, StandardNormal};

use super::SampleTable;

/// One stream of random numbers: that of one customer in one table.
///
/// ChaCha has 2^64 independent streams per key, so no draw depends on which customers were made
/// before, in which chunk or on which thread.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of `customer` in `table`.
    pub(super) fn new(seed: u64, table: SampleTable, customer: i64) -> Self {
        let mut key = *b"seed____table___loyalhouse sampl";
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&table.tag().to_le_bytes());
        let mut stream = ChaCha8Rng::from_seed(key);
        stream.set_stream(customer as u64);
        Self(stream)
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// Uniform in [low, high).
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of the items, each as likely as the other.
    pub(super) fn pick<T: Copy, const N: usize>(&mut self, items: &[T; N]) -> T {
        items[((self.unit() * N as f64) as usize).min(N - 1)]
    }

    /// One of the items, by weight; the weights need not add up to 1.
    pub(super) fn weighted<T: Copy, const N: usize>(&mut self, items: &[(T, f64); N]) -> T {
        let total: f64 = items.iter().map(|(_, weight)| weight).sum();
        let mut rest = self.unit() * total;
        for &(item, weight) in items {
            if rest < weight {
                return item;
            }
            rest -= weight;
        }
        items[N - 1].0
    }

    /// Standard normal.
    pub(super) fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// `median` times a log-normal factor of the given sigma.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Exponential with the given mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        // 1 − u lies in (0, 1], so that the logarithm is finite.
        -mean * (1.0 - self.unit()).ln()
    }

    /// Gamma with the given shape and scale; parameters that are none give the mean.
    pub(super) fn gamma(&mut self, shape: f64, scale: f64) -> f64 {
        Gamma::new(shape, scale).map_or(shape * scale, |law| law.sample(&mut self.0))
    }

    /// Beta with the given parameters; parameters that are none give the mean.
    pub(super) fn beta(&mut self, a: f64, b: f64) -> f64 {
        Beta::new(a, b).map_or(a / (a + b), |law| law.sample(&mut self.0))
    }
}

/// The logistic function.
pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64, table: SampleTable, customer: i64) -> f64 {
        Dice::new(seed, table, customer).unit()
    }

    #[test]
    fn streams_differ_by_seed_table_and_customer() {
        let base = first(1, SampleTable::Orders, 1);
        assert_eq!(base, first(1, SampleTable::Orders, 1));
        assert_ne!(base, first(2, SampleTable::Orders, 1));
        assert_ne!(base, first(1, SampleTable::Events, 1));
        assert_ne!(base, first(1, SampleTable::Orders, 2));
    }

    #[test]
    fn weighted_follows_its_weights() {
        let mut dice = Dice::new(7, SampleTable::Orders, 1);
        let items = [("never", 0.0), ("rare", 1.0), ("often", 9.0)];
        let draws: Vec<_> = (0..10_000).map(|_| dice.weighted(&items)).collect();
        let often = draws.iter().filter(|&&item| item == "often").count();
        assert!((8_700..9_300).contains(&often), "{often}");
        assert!(!draws.contains(&"never"));
    }

    #[test]
    fn laws_have_their_means() {
        const DRAWS: usize = 20_000;
        let mut dice = Dice::new(7, SampleTable::Orders, 2);
        let mut mean = |draw: fn(&mut Dice) -> f64| {
            (0..DRAWS).map(|_| draw(&mut dice)).sum::<f64>() / DRAWS as f64
        };
        assert!((mean(|dice| dice.exponential(3.0)) - 3.0).abs() < 0.1);
        assert!((mean(|dice| dice.gamma(2.0, 1.5)) - 3.0).abs() < 0.1);
        assert!((mean(|dice| dice.beta(1.0, 3.0)) - 0.25).abs() < 0.01);
        assert!(mean(Dice::normal).abs() < 0.03);
    }
}
