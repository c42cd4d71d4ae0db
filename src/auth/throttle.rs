//! Slows down guessing: failed logins of one address cost time, those of others do not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures of one address that cost nothing yet.
const FREE_FAILURES: f64 = 5.0;

/// Guesses a second that an address has once its free ones are used up.
const GUESSES_PER_SECOND: f64 = 3.0;

/// Addresses remembered; when more of them guess, they all share one allowance.
const ADDRESSES_MAX: usize = 10_000;

/// Failures by address, each forgotten after its time.
#[derive(Debug, Default)]
pub struct Throttle {
    debts: Mutex<HashMap<IpAddr, Debt>>,
}

#[derive(Debug, Clone, Copy)]
struct Debt {
    failures: f64,
    at: Instant,
}

impl Debt {
    /// What is left of the failures at `now`.
    fn left(&self, now: Instant) -> f64 {
        let paid = now.saturating_duration_since(self.at).as_secs_f64() * GUESSES_PER_SECOND;
        (self.failures - paid).max(0.0)
    }
}

impl Throttle {
    /// Makes one attempt for `address`: runs `check`, which says whether it succeeded, or tells how
    /// long to wait before trying again. Attempts that wait side by side get their turns one by one.
    pub fn attempt<T>(
        &self,
        address: IpAddr,
        now: Instant,
        check: impl FnOnce() -> (T, bool),
    ) -> Result<T, Duration> {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = network_of(address);
        let key = match debts.contains_key(&key) || debts.len() < ADDRESSES_MAX {
            true => key,
            false => {
                debts.retain(|_, debt| debt.left(now) > 0.0);
                match debts.len() < ADDRESSES_MAX {
                    true => key,
                    false => IpAddr::from([0, 0, 0, 0]),
                }
            }
        };
        let left = debts.get(&key).map_or(0.0, |debt| debt.left(now));
        let excess = left - FREE_FAILURES + 1.0;
        if excess > 0.0 {
            return Err(Duration::from_secs_f64(excess / GUESSES_PER_SECOND));
        }
        let (outcome, succeeded) = check();
        if !succeeded {
            let failures = left + 1.0;
            debts.insert(key, Debt { failures, at: now });
        }
        Ok(outcome)
    }
}

/// Whoever has one IPv6 address has its /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUESSER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn guesses_are_under_five_a_second_after_ten_and_others_are_free() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let mut guesses = 0;
        for tick in 0..2_000_u64 {
            let now = start + Duration::from_millis(tick * 10);
            let outcome = throttle.attempt(GUESSER, now, || ((), false));
            guesses += u64::from(outcome.is_ok());
            if tick == 1_000 {
                assert!(guesses < 50, "{guesses} in ten seconds");
            }
        }
        assert!(
            guesses > 20,
            "honest mistakes are not locked out: {guesses}"
        );
        assert!(throttle.attempt(OTHER, start, || ((), true)).is_ok());
    }

    #[test]
    fn success_costs_nothing() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..1_000 {
            assert!(throttle.attempt(GUESSER, now, || ((), true)).is_ok());
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for number in 0..20_000_u32 {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let _waits = throttle.attempt(address, now, || ((), false));
        }
        assert!(throttle.debts.lock().unwrap().len() <= ADDRESSES_MAX + 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_guesser() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let outcomes = (0..20_u16).map(|host| {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
            throttle.attempt(address, now, || ((), false)).is_ok()
        });
        assert_eq!(outcomes.filter(|passed| *passed).count(), 5);
    }
}
