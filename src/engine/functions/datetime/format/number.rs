//! Numbers shown and read by a pattern.

use bytes::{BufMut, BytesMut};

use super::number_pattern::{NumberPattern, Piece, Side};
use super::show::ordinal;
use crate::error::{Error, Result};

/// Width of a Roman number that is not cut down by `FM`.
const ROMAN_WIDTH: usize = 15;

/// Digits of a double beyond which nothing is shown.
const FLOAT_DIGITS_MAX: i32 = 400;

/// Shows a number given by its digits.
pub(super) fn put_exact(text: &str, pattern: &NumberPattern, out: &mut BytesMut) {
    if pattern.roman {
        let rounded = rounded(text, 0);
        put_roman(rounded.parse().unwrap_or(0), pattern, out);
        return;
    }
    if pattern.exponent {
        put_scientific(&scientific(text, pattern.after), out);
        return;
    }
    let shifted = match pattern.shift {
        0 => text.to_owned(),
        places => shifted(text, places),
    };
    put_digits(
        &rounded(&shifted, pattern.after),
        pattern,
        pattern.after,
        out,
    );
}

/// Shows a floating-point number, whose type holds so many digits.
pub(super) fn put_float(value: f64, digits: usize, pattern: &NumberPattern, out: &mut BytesMut) {
    if pattern.roman {
        put_roman(value.round_ties_even() as i64, pattern, out);
        return;
    }
    if pattern.exponent {
        if !value.is_finite() {
            let width = pattern.before + pattern.after + 6;
            out.put_slice(&vec![b'#'; width]);
            return;
        }
        put_scientific(&exponent_form(value, pattern.after), out);
        return;
    }
    let value = match pattern.shift {
        0 => value,
        places => value * 10_f64.powi(i32::try_from(places).unwrap_or(FLOAT_DIGITS_MAX)),
    };
    let whole = format!("{:.0}", value.abs());
    let after = match value.is_finite() {
        false => pattern.after,
        true if whole.len() >= digits => 0,
        true => pattern.after.min(digits - whole.len()),
    };
    let text = match value.is_finite() {
        true => format!("{value:.after$}"),
        false if value.is_nan() => "NaN".to_owned(),
        false if value > 0.0 => "Infinity".to_owned(),
        false => "-Infinity".to_owned(),
    };
    put_digits(&text, pattern, after, out);
}

/// A number with the point moved to the right.
fn shifted(text: &str, places: usize) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut fraction = fraction.to_owned();
    while fraction.len() < places {
        fraction.push('0');
    }
    let (moved, rest) = fraction.split_at(places);
    let whole = format!("{whole}{moved}");
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    match rest {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}

/// A number with so many digits behind the point; halves go away from zero.
fn rounded(text: &str, after: usize) -> String {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all: Vec<u8> = whole.bytes().chain(fraction.bytes().take(after)).collect();
    all.resize(whole.len() + after, b'0');
    if fraction
        .as_bytes()
        .get(after)
        .is_some_and(|digit| *digit >= b'5')
    {
        let mut at = all.len();
        loop {
            if at == 0 {
                all.insert(0, b'1');
                break;
            }
            at -= 1;
            if all[at] == b'9' {
                all[at] = b'0';
            } else {
                all[at] += 1;
                break;
            }
        }
    }
    let point = all.len() - after;
    let is_zero = all.iter().all(|digit| *digit == b'0');
    let mut shown = String::new();
    if negative && !is_zero {
        shown.push('-');
    }
    shown.extend(all[..point].iter().map(|b| *b as char));
    if after > 0 {
        shown.push('.');
        shown.extend(all[point..].iter().map(|b| *b as char));
    }
    shown
}

/// An exact number as `1.23e+04`.
fn scientific(text: &str, after: usize) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let Some(first) = all.find(|c: char| c != '0') else {
        let zeros = "0".repeat(after);
        let point = if after > 0 { "." } else { "" };
        return format!("0{point}{zeros}e+00");
    };
    let significant = &all[first..];
    let exponent = whole.len() as i64 - first as i64 - 1;
    // Rounding may make a digit more, which PostgreSQL leaves there.
    let mantissa = rounded(
        &format!("{}.{}", &significant[..1], &significant[1..]),
        after,
    );
    format!(
        "{sign}{mantissa}e{}{:02}",
        if exponent < 0 { '-' } else { '+' },
        exponent.abs()
    )
}

/// A double as `1.23e+04`.
fn exponent_form(value: f64, after: usize) -> String {
    let text = format!("{value:.after$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!(
        "{mantissa}e{}{:02}",
        if exponent < 0 { '-' } else { '+' },
        exponent.abs()
    )
}

fn put_scientific(text: &str, out: &mut BytesMut) {
    if !text.starts_with('-') {
        out.put_u8(b' ');
    }
    out.put_slice(text.as_bytes());
}

fn put_roman(value: i64, pattern: &NumberPattern, out: &mut BytesMut) {
    const NUMERALS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut text = String::new();
    if (1..=3999).contains(&value) {
        let mut rest = value;
        for (worth, numeral) in NUMERALS {
            while rest >= worth {
                text.push_str(numeral);
                rest -= worth;
            }
        }
    } else {
        text = "#".repeat(ROMAN_WIDTH);
    }
    for piece in &pattern.pieces {
        match piece {
            Piece::Roman { lower } => {
                let shown = if *lower {
                    text.to_lowercase()
                } else {
                    text.clone()
                };
                match pattern.fill {
                    true => out.put_slice(shown.as_bytes()),
                    false => out.put_slice(format!("{shown:>ROMAN_WIDTH$}").as_bytes()),
                }
            }
            Piece::Literal(c) => out.put_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            _ => {}
        }
    }
}

/// Shows digits that have been rounded already.
fn put_digits(text: &str, pattern: &NumberPattern, after: usize, out: &mut BytesMut) {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let length = digits.find('.').unwrap_or(digits.len());
    let special = !digits.starts_with(|c: char| c.is_ascii_digit());
    let number: Vec<u8> = match length > pattern.before {
        // Too long, or no number: only the pattern's shape is shown.
        true if !special || length > pattern.before => {
            let before = pattern.before + pattern.shift;
            match length > before {
                true => {
                    let mut filled = vec![b'#'; before];
                    if after > 0 || pattern.point {
                        filled.push(b'.');
                        filled.extend(std::iter::repeat_n(b'#', after));
                    }
                    filled
                }
                false => digits.as_bytes().to_vec(),
            }
        }
        _ => digits.as_bytes().to_vec(),
    };
    let before = pattern.before + pattern.shift;
    let mut writer = Writer::new(
        pattern,
        &number,
        before.saturating_sub(length),
        before,
        after,
        negative,
    );
    for piece in &pattern.pieces {
        writer.piece(piece, out);
    }
}

/// The state of showing one number.
struct Writer<'a> {
    pattern: &'a NumberPattern,
    number: &'a [u8],
    /// Where in `number` the next digit is.
    at: usize,
    /// Places before the number's first digit.
    spaces: usize,
    /// Places shown so far.
    current: usize,
    /// Places of the pattern after which the sign behind the number comes.
    count: usize,
    /// The last digit behind the point that `FM` does not cut off.
    last_relevant: Option<usize>,
    zero_start: Option<usize>,
    sign: Option<Side>,
    sign_done: bool,
    brackets: bool,
    negative: bool,
    in_number: bool,
    after: usize,
    ended: bool,
}

impl<'a> Writer<'a> {
    fn new(
        pattern: &'a NumberPattern,
        number: &'a [u8],
        spaces: usize,
        before: usize,
        after: usize,
        negative: bool,
    ) -> Self {
        let plain = pattern.plus || pattern.minus;
        let sign_done = match plain {
            // MI, PL and SG show the sign; PL alone leaves a minus to the number.
            true => !pattern.plus || pattern.minus,
            false => !negative && pattern.fill && pattern.sign.is_none(),
        };
        let sign = match pattern.sign {
            Some(Side::Before) if pattern.before == pattern.before_sign => Some(Side::After),
            side => side,
        };
        let mut last_relevant = None;
        if pattern.fill && pattern.point {
            last_relevant = last_relevant_digit(number);
            if let Some(last) = last_relevant
                && pattern.zero_end > spaces
            {
                let zero = (pattern.zero_end - spaces).min(number.len().saturating_sub(1));
                last_relevant = Some(last.max(zero));
            }
        }
        let count = (after + before).saturating_sub(1) + usize::from(!sign_done && spaces == 0);
        Self {
            pattern,
            number,
            at: 0,
            spaces,
            current: 0,
            count,
            last_relevant,
            zero_start: pattern.zero_start.map(|start| start - 1),
            sign,
            sign_done,
            brackets: pattern.brackets && (negative || !pattern.fill),
            negative,
            in_number: false,
            after,
            ended: false,
        }
    }

    fn byte(&self) -> Option<u8> {
        self.number.get(self.at).copied()
    }

    fn relevant_is_point(&self) -> bool {
        self.last_relevant
            .is_some_and(|last| self.number.get(last) == Some(&b'.'))
    }

    /// A leading zero before the point gives way to a space.
    fn leaves_zero_out(&self) -> bool {
        self.zero_start.is_none() && self.at == 0 && self.byte() == Some(b'0') && self.after != 0
    }

    fn piece(&mut self, piece: &Piece, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        let fill = self.pattern.fill;
        let sign = if self.negative { b'-' } else { b'+' };
        match piece {
            Piece::Digit { zero } => self.place(*zero, out),
            Piece::Point => self.place(false, out),
            Piece::Group => match (self.in_number, fill) {
                (true, _) => out.put_u8(b','),
                (false, false) => out.put_u8(b' '),
                (false, true) => {}
            },
            Piece::Currency => out.put_u8(b' '),
            Piece::Ordinal { lower } => {
                let none =
                    self.pattern.point || self.negative || self.number.first() == Some(&b'#');
                if !none {
                    let text = String::from_utf8_lossy(self.number);
                    out.put_slice(ordinal(&text, *lower).as_bytes());
                }
            }
            Piece::Minus if self.negative => out.put_u8(b'-'),
            Piece::Plus if !self.negative => out.put_u8(b'+'),
            Piece::Minus | Piece::Plus => {
                if !fill {
                    out.put_u8(b' ');
                }
            }
            Piece::PlusMinus => out.put_u8(sign),
            Piece::Literal(c) => out.put_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Sign
            | Piece::Brackets
            | Piece::Roman { .. }
            | Piece::Shift
            | Piece::Exponent
            | Piece::Blank => {}
        }
    }

    /// The sign, as soon as the number begins.
    fn put_sign(&mut self, out: &mut BytesMut) {
        let begins = self.current >= self.spaces || self.zero_start == Some(self.current);
        if self.sign_done || !begins || (self.leaves_zero_out() && !self.relevant_is_point()) {
            return;
        }
        match self.sign {
            Some(Side::After) => return,
            Some(Side::Before) => out.put_u8(if self.negative { b'-' } else { b'+' }),
            None if self.brackets => out.put_u8(if self.negative { b'<' } else { b' ' }),
            None if self.negative => out.put_u8(b'-'),
            None if !self.pattern.fill => out.put_u8(b' '),
            None => {}
        }
        self.sign_done = true;
    }

    /// A place of a digit or the point.
    fn place(&mut self, zero: bool, out: &mut BytesMut) {
        self.in_number = false;
        self.put_sign(out);
        let fill = self.pattern.fill;
        let zeros = self.zero_start.is_some_and(|start| start <= self.current);
        if self.current < self.spaces && !zeros {
            if !fill {
                out.put_u8(b' ');
            }
        } else if self.current < self.spaces {
            out.put_u8(b'0');
            self.in_number = true;
        } else {
            self.put_byte(zero, out);
        }
        let end = match self.last_relevant {
            Some(last) if last == self.at => self.current,
            _ => self.count + usize::from(self.spaces > 0) + usize::from(self.pattern.point),
        };
        if self.current + 1 == end {
            if self.sign_done && self.brackets {
                out.put_u8(if self.negative { b'>' } else { b' ' });
            } else if self.sign == Some(Side::After) {
                out.put_u8(if self.negative { b'-' } else { b'+' });
            }
        }
        self.current += 1;
    }

    fn put_byte(&mut self, zero: bool, out: &mut BytesMut) {
        let fill = self.pattern.fill;
        match self.byte() {
            // PostgreSQL's text ends where the digits do.
            None => {
                let cut = self.last_relevant.is_some_and(|last| self.at > last);
                self.ended |= zero || !cut;
                return;
            }
            Some(b'.') => {
                if !self.relevant_is_point() || fill {
                    out.put_u8(b'.');
                }
            }
            Some(_) if !zero && self.last_relevant.is_some_and(|last| self.at > last) => {}
            Some(_) if self.leaves_zero_out() => {
                if !fill {
                    out.put_u8(b' ');
                } else if self.relevant_is_point() {
                    out.put_u8(b'0');
                }
            }
            Some(digit) => {
                out.put_u8(digit);
                self.in_number = true;
            }
        }
        self.at += 1;
    }
}

/// The last digit behind the point that is no zero, or the point.
fn last_relevant_digit(number: &[u8]) -> Option<usize> {
    let point = number.iter().position(|b| *b == b'.')?;
    let last = number.iter().rposition(|b| *b != b'0');
    Some(last.map_or(point, |last| last.max(point)))
}

/// Reads a number; what is not part of one by the pattern is skipped.
pub(super) fn read(text: &str, pattern: &NumberPattern, scale: i8) -> Result<i128> {
    if pattern.roman {
        return Err(Error::feature_not_supported(
            "\"RN\" not supported for input",
        ));
    }
    if pattern.exponent {
        return Err(Error::feature_not_supported(
            "\"EEEE\" not supported for input",
        ));
    }
    let mut negative = false;
    let (mut whole, mut fraction) = (String::new(), String::new());
    let mut behind = false;
    let bytes = text.as_bytes();
    let mut at = 0;
    let skip_space = |at: &mut usize| {
        while bytes.get(*at).is_some_and(|b| *b == b' ') {
            *at += 1;
        }
    };
    for piece in &pattern.pieces {
        match piece {
            Piece::Digit { .. } | Piece::Point => {
                if whole.is_empty() && fraction.is_empty() {
                    skip_space(&mut at);
                    if let Some(sign @ (b'-' | b'+' | b'<')) = bytes.get(at) {
                        negative |= *sign != b'+';
                        at += 1;
                    }
                }
                match bytes.get(at) {
                    Some(digit) if digit.is_ascii_digit() && *piece != Piece::Point => {
                        match behind {
                            true => fraction.push(*digit as char),
                            false => whole.push(*digit as char),
                        }
                        at += 1;
                    }
                    Some(b'.') if pattern.point && !behind => {
                        behind = true;
                        at += 1;
                        if *piece != Piece::Point
                            && let Some(digit) = bytes.get(at).filter(|b| b.is_ascii_digit())
                        {
                            fraction.push(*digit as char);
                            at += 1;
                        }
                    }
                    _ => {}
                }
            }
            Piece::Group => at += usize::from(bytes.get(at) == Some(&b',')),
            Piece::Sign | Piece::Minus | Piece::Plus | Piece::PlusMinus | Piece::Brackets => {
                match bytes.get(at) {
                    Some(b'-' | b'<') => {
                        negative = true;
                        at += 1;
                    }
                    Some(b'+' | b'>') => at += 1,
                    Some(b' ') if *piece != Piece::Sign => at += 1,
                    _ => {}
                }
            }
            Piece::Ordinal { .. } => at += 2,
            Piece::Currency | Piece::Literal(_) => {
                let is_number =
                    |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'-' | b'+');
                at += usize::from(bytes.get(at).is_some_and(|b| !is_number(b)));
            }
            _ => {}
        }
    }
    if bytes.get(at).is_some_and(|b| *b == b'-') {
        negative = true;
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(Error::invalid_text_representation(format!(
            "invalid input syntax for type numeric: \"{}\"",
            text.chars().take(1).collect::<String>()
        )));
    }
    let text = match fraction.is_empty() {
        true => whole,
        false => format!("{whole}.{fraction}"),
    };
    let scaled = rounded(&shifted(&text, scale.unsigned_abs() as usize), 0);
    let value: i128 = scaled
        .parse()
        .map_err(|_| Error::numeric_value_out_of_range("numeric field overflow"))?;
    let value = match pattern.shift {
        0 => value,
        places => value / 10_i128.pow(u32::try_from(places).unwrap_or(0).min(30)),
    };
    Ok(if negative { -value } else { value })
}
