//! Patterns of numbers: `FM999,990.00`, `S9.99EEEE`, `RN`.

use crate::error::{Error, Result};

/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 1024;

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// `9`, or `0`.
    Digit { zero: bool },
    /// `.` or `D`.
    Point,
    /// `,` or `G`.
    Group,
    /// `L`
    Currency,
    /// `S`
    Sign,
    /// `MI`
    Minus,
    /// `PL`
    Plus,
    /// `SG`
    PlusMinus,
    /// `PR`
    Brackets,
    /// `RN` or `rn`.
    Roman { lower: bool },
    /// `TH` or `th`.
    Ordinal { lower: bool },
    /// `V`
    Shift,
    /// `EEEE`
    Exponent,
    /// `B`, which PostgreSQL takes and does nothing for.
    Blank,
    /// Anything else stands for itself.
    Literal(char),
}

/// On which side of the number `S` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// A pattern and what follows from all of its pieces.
#[derive(Debug, Clone, Default)]
pub(super) struct NumberPattern {
    pub(super) pieces: Vec<Piece>,
    /// Digits before the point.
    pub(super) before: usize,
    /// Digits behind it.
    pub(super) after: usize,
    /// Digits that `V` shifts by.
    pub(super) shift: usize,
    /// The digit (from one) at which zeros begin.
    pub(super) zero_start: Option<usize>,
    /// The digit at which the last `0` stands.
    pub(super) zero_end: usize,
    pub(super) sign: Option<Side>,
    /// Digits before the sign.
    pub(super) before_sign: usize,
    pub(super) fill: bool,
    pub(super) point: bool,
    pub(super) brackets: bool,
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) roman: bool,
    pub(super) exponent: bool,
    multiplied: bool,
}

fn syntax(message: &str) -> Error {
    Error::syntax_error(message)
}

impl NumberPattern {
    /// Digits behind the point of a number that is read.
    pub(super) fn scale(&self) -> usize {
        (self.after + self.shift).min(30)
    }

    /// Reads a pattern.
    pub(super) fn read(text: &str) -> Result<Self> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(Error::program_limit_exceeded("number format is too long")
                .with_detail(format!("A format may take {PATTERN_BYTES_MAX} bytes.")));
        }
        let mut pattern = Self::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix('"') {
                rest = super::quoted(quoted, |c| pattern.pieces.push(Piece::Literal(c)));
                continue;
            }
            if let Some(escaped) = rest.strip_prefix("\\\"") {
                pattern.pieces.push(Piece::Literal('"'));
                rest = escaped;
                continue;
            }
            match keyword(rest) {
                Some((length, piece)) => {
                    pattern.add(piece)?;
                    rest = &rest[length..];
                }
                None => {
                    pattern.pieces.push(Piece::Literal(first));
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        Ok(pattern)
    }

    fn add(&mut self, piece: Option<Piece>) -> Result<()> {
        let Some(piece) = piece else {
            self.fill = true;
            return Ok(());
        };
        if self.exponent && piece != Piece::Exponent {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        match &piece {
            Piece::Digit { zero } => self.digit(*zero)?,
            Piece::Point => {
                if self.point {
                    return Err(syntax("multiple decimal points"));
                }
                if self.multiplied {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.point = true;
            }
            Piece::Sign => {
                if self.sign.is_some() {
                    return Err(syntax("cannot use \"S\" twice"));
                }
                if self.plus || self.minus || self.brackets {
                    return Err(syntax(
                        "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together",
                    ));
                }
                self.before_sign = self.before;
                self.sign = Some(if self.point {
                    Side::After
                } else {
                    Side::Before
                });
            }
            Piece::Minus | Piece::Plus | Piece::PlusMinus => {
                if self.sign.is_some() {
                    let name = match piece {
                        Piece::Minus => "MI",
                        Piece::Plus => "PL",
                        _ => "SG",
                    };
                    return Err(syntax(&format!("cannot use \"S\" and \"{name}\" together")));
                }
                self.minus |= piece != Piece::Plus;
                self.plus |= piece != Piece::Minus;
            }
            Piece::Brackets => {
                if self.sign.is_some() || self.plus || self.minus {
                    return Err(syntax(
                        "cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together",
                    ));
                }
                self.brackets = true;
            }
            Piece::Roman { .. } => self.roman = true,
            Piece::Shift => {
                if self.point {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.multiplied = true;
            }
            Piece::Exponent => {
                if self.exponent {
                    return Err(syntax("cannot use \"EEEE\" twice"));
                }
                let other = self.fill || self.sign.is_some() || self.brackets || self.minus;
                if other || self.plus || self.roman || self.multiplied {
                    return Err(syntax("\"EEEE\" is incompatible with other formats")
                        .with_detail("\"EEEE\" may only be used together with digit and decimal point patterns."));
                }
                self.exponent = true;
            }
            _ => {}
        }
        self.pieces.push(piece);
        Ok(())
    }

    fn digit(&mut self, zero: bool) -> Result<()> {
        if self.brackets {
            let digit = if zero { "0" } else { "9" };
            return Err(syntax(&format!("\"{digit}\" must be ahead of \"PR\"")));
        }
        if self.multiplied && !zero {
            self.shift += 1;
            return Ok(());
        }
        if zero && self.zero_start.is_none() && !self.point {
            self.zero_start = Some(self.before + 1);
        }
        match self.point {
            true => self.after += 1,
            false => self.before += 1,
        }
        if zero {
            self.zero_end = self.before + self.after;
        }
        Ok(())
    }
}

/// A keyword at the beginning: its length and piece, which `FM` has not.
fn keyword(text: &str) -> Option<(usize, Option<Piece>)> {
    let any_case: &[(&str, Option<Piece>)] = &[
        ("EEEE", Some(Piece::Exponent)),
        ("FM", None),
        ("MI", Some(Piece::Minus)),
        ("PL", Some(Piece::Plus)),
        ("PR", Some(Piece::Brackets)),
        ("SG", Some(Piece::PlusMinus)),
        ("SP", Some(Piece::Blank)),
        ("S", Some(Piece::Sign)),
        ("B", Some(Piece::Blank)),
        ("D", Some(Piece::Point)),
        ("G", Some(Piece::Group)),
        ("L", Some(Piece::Currency)),
        ("V", Some(Piece::Shift)),
        (",", Some(Piece::Group)),
        (".", Some(Piece::Point)),
        ("0", Some(Piece::Digit { zero: true })),
        ("9", Some(Piece::Digit { zero: false })),
    ];
    let exact: &[(&str, Option<Piece>)] = &[
        ("RN", Some(Piece::Roman { lower: false })),
        ("rn", Some(Piece::Roman { lower: true })),
        ("TH", Some(Piece::Ordinal { lower: false })),
        ("th", Some(Piece::Ordinal { lower: true })),
    ];
    if let Some((name, piece)) = exact.iter().find(|(name, _)| text.starts_with(name)) {
        return Some((name.len(), piece.clone()));
    }
    let found = any_case.iter().find(|(name, _)| {
        let lower = name.to_ascii_lowercase();
        text.starts_with(name) || text.starts_with(&lower)
    });
    found.map(|(name, piece)| (name.len(), piece.clone()))
}
