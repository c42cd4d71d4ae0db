//! Values of settings and configuration as PostgreSQL spells them.

/// PostgreSQL's spellings of a Boolean: unique prefixes of true/false/yes/no, on/off, 1/0.
pub fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "on" | "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" => Some(true),
        "0" | "of" | "off" | "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// A time span with PostgreSQL's units; a bare number is milliseconds.
pub fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "" | "ms" => 1.0,
        "us" => 0.001,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let millis = (number * factor).round();
    (0.0..=f64::from(i32::MAX))
        .contains(&millis)
        .then_some(millis as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_take_postgres_units() {
        for (text, millis) in [
            ("200ms", 200),
            ("200", 200),
            ("1.5s", 1500),
            ("2min", 120_000),
            ("0", 0),
            ("1 h", 3_600_000),
        ] {
            assert_eq!(milliseconds(text), Some(millis), "{text}");
        }
        for text in ["", "fast", "-1", "1 fortnight"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
