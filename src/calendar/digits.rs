//! Integers as decimal digits, written without a trip through a String.

use bytes::{BufMut, BytesMut};

/// `00` to `99`, so that two digits cost one division.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Writes an integer.
pub(crate) fn put_i64(value: i64, out: &mut BytesMut) {
    if value < 0 {
        out.put_u8(b'-');
    }
    put_u64(value.unsigned_abs(), out);
}

/// Writes an integer without sign.
pub(crate) fn put_u64(value: u64, out: &mut BytesMut) {
    let mut digits = [0; 20];
    let start = u64_digits(value, &mut digits);
    out.put_slice(&digits[start..]);
}

/// Writes `value` with at least two digits.
pub(crate) fn put_two(value: u32, out: &mut BytesMut) {
    if value < 100 {
        let at = value as usize * 2;
        out.put_slice(&PAIRS[at..at + 2]);
    } else {
        put_u64(u64::from(value), out);
    }
}

/// Writes a fraction of a second, `.` and up to six digits without trailing zeros; nothing for 0.
pub(crate) fn put_micros(micros: u32, out: &mut BytesMut) {
    if micros == 0 {
        return;
    }
    let mut digits = [b'.', 0, 0, 0, 0, 0, 0];
    let mut rest = micros;
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let end = digits
        .iter()
        .rposition(|d| *d != b'0')
        .map_or(0, |last| last + 1);
    out.put_slice(&digits[..end]);
}

/// Right-aligned digits of `value`; returns where they start.
pub(crate) fn u64_digits(mut value: u64, digits: &mut [u8]) -> usize {
    let mut at = digits.len();
    while value >= 100 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if value >= 10 {
        let pair = value as usize * 2;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    at
}
