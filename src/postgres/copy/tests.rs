//! Expected output and messages come from PostgreSQL 15's COPY.

use std::sync::Arc;

use bytes::Buf;
use datafusion::arrow::array::{ArrayRef, Int32Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field};

use super::*;

fn table() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Int32, true),
        Field::new("d", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["x", "", "\\.", "\u{1}"])),
        Arc::new(Int32Array::from(vec![Some(1), Some(2), None, Some(3)])),
        Arc::new(StringArray::from(vec![
            None,
            Some("a\tb\\c\nd\r\u{8}\u{c}\u{b}"),
            Some("q\"u,o"),
            Some("N"),
        ])),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn options(clauses: CopyClauses) -> CopyOptions {
    CopyOptions::try_from(clauses).unwrap()
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect()
}

/// The contents of the CopyData messages, one after the other.
fn copied(batch: &RecordBatch, clauses: CopyClauses) -> Vec<u8> {
    let style = TextStyle::new("UTC".parse().unwrap());
    let options = options(clauses);
    let mut encoder =
        CopyEncoder::try_new(&batch.schema(), &names(batch), options.clone(), &style).unwrap();
    let mut out = BytesMut::new();
    encoder.header(&mut out).unwrap();
    encoder
        .encode(batch, 0..batch.num_rows(), &mut out)
        .unwrap();
    CopyEncoder::trailer(&options, batch.num_rows() as u64, &mut out).unwrap();
    let mut all = vec![];
    let mut rest = &out[..];
    while rest.has_remaining() {
        assert_eq!(rest.get_u8(), b'd');
        let len = rest.get_i32() as usize - 4;
        let (body, after) = rest.split_at(len);
        all.extend_from_slice(body);
        rest = after;
    }
    all
}

fn copied_text(batch: &RecordBatch, clauses: CopyClauses) -> String {
    String::from_utf8(copied(batch, clauses)).unwrap()
}

fn csv() -> CopyClauses {
    CopyClauses {
        format: Some("CSV".into()),
        ..CopyClauses::default()
    }
}

#[test]
fn text() {
    assert_eq!(
        copied_text(&table(), CopyClauses::default()),
        "x\t1\t\\N\n\t2\ta\\tb\\\\c\\nd\\r\\b\\f\\v\n\\\\.\t\\N\tq\"u,o\n\u{1}\t3\tN\n"
    );
    let clauses = CopyClauses {
        delimiter: Some("|".into()),
        header: true,
        ..CopyClauses::default()
    };
    assert_eq!(
        copied_text(&table(), clauses),
        "a|b|d\nx|1|\\N\n|2|a\\tb\\\\c\\nd\\r\\b\\f\\v\n\\\\.|\\N|q\"u,o\n\u{1}|3|N\n"
    );
    let clauses = CopyClauses {
        delimiter: Some("\"".into()),
        null: Some("-".into()),
        ..Default::default()
    };
    assert!(copied_text(&table(), clauses).ends_with("\\\\.\"-\"q\\\"u,o\n\u{1}\"3\"N\n"));
}

#[test]
fn comma_separated() {
    assert_eq!(
        copied_text(
            &table(),
            CopyClauses {
                header: true,
                ..csv()
            }
        ),
        "a,b,d\nx,1,\n\"\",2,\"a\tb\\c\nd\r\u{8}\u{c}\u{b}\"\n\\.,,\"q\"\"u,o\"\n\u{1},3,N\n"
    );
    let clauses = CopyClauses {
        force_quote: ForceQuote::All,
        null: Some("x".into()),
        delimiter: Some("|".into()),
        quote: Some("'".into()),
        escape: Some("o".into()),
        ..csv()
    };
    assert_eq!(
        copied_text(&table(), clauses),
        "'x'|'1'|x\n''|'2'|'a\tb\\c\nd\r\u{8}\u{c}\u{b}'\n'\\.'|x|'q\"u,oo'\n'\u{1}'|'3'|'N'\n"
    );
    let clauses = CopyClauses {
        force_quote: ForceQuote::Columns(vec!["b".into()]),
        ..csv()
    };
    assert!(copied_text(&table(), clauses).starts_with("x,\"1\",\n"));
}

#[test]
fn an_end_marker_alone_on_its_line_is_quoted() {
    let one = table().project(&[0]).unwrap();
    assert_eq!(copied_text(&one, csv()), "x\n\"\"\n\"\\.\"\n\u{1}\n");
}

#[test]
fn binary() {
    // copy (select 1::int4 a, null::text b, 'x'::text c) to … (format binary)
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("c", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1])),
        Arc::new(StringArray::from(vec![None::<&str>])),
        Arc::new(StringArray::from(vec!["x"])),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let clauses = CopyClauses {
        format: Some("binary".into()),
        ..CopyClauses::default()
    };
    assert_eq!(
        copied(&batch, clauses),
        b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x01\xff\xff\xff\xff\0\0\0\x01x\xff\xff"
    );
}

#[test]
fn each_row_is_a_message() {
    let batch = table();
    let style = TextStyle::new("UTC".parse().unwrap());
    let options = options(CopyClauses::default());
    let mut encoder =
        CopyEncoder::try_new(&batch.schema(), &names(&batch), options, &style).unwrap();
    let mut out = BytesMut::new();
    encoder.encode(&batch, 0..1, &mut out).unwrap();
    assert_eq!(out, &b"d\0\0\0\x0bx\t1\t\\N\n"[..]);
}

/// Readers cut the signature off the first message and take the rest for a row.
#[test]
fn the_signature_goes_with_the_first_row_or_with_the_trailer() {
    let batch = table();
    let style = TextStyle::new("UTC".parse().unwrap());
    let clauses = CopyClauses {
        format: Some("binary".into()),
        ..CopyClauses::default()
    };
    let options = options(clauses);
    let mut encoder =
        CopyEncoder::try_new(&batch.schema(), &names(&batch), options.clone(), &style).unwrap();
    let mut out = BytesMut::new();
    encoder.header(&mut out).unwrap();
    assert!(out.is_empty());
    encoder.encode(&batch, 0..1, &mut out).unwrap();
    assert_eq!(&out[5..5 + BINARY_HEADER.len()], BINARY_HEADER);
    out.clear();
    encoder.encode(&batch, 0..1, &mut out).unwrap();
    assert_ne!(&out[5..5 + BINARY_HEADER.len()], BINARY_HEADER);
    out.clear();
    CopyEncoder::trailer(&options, 0, &mut out).unwrap();
    assert_eq!(&out[5..5 + BINARY_HEADER.len()], BINARY_HEADER);
    out.clear();
    CopyEncoder::trailer(&options, 1, &mut out).unwrap();
    assert_eq!(&out[..], b"d\0\0\0\x06\xff\xff");
}

#[test]
fn unknown_columns_cannot_be_force_quoted() {
    let batch = table();
    let style = TextStyle::new("UTC".parse().unwrap());
    let clauses = CopyClauses {
        force_quote: ForceQuote::Columns(vec!["zz".into()]),
        ..csv()
    };
    let error = CopyEncoder::try_new(&batch.schema(), &names(&batch), options(clauses), &style)
        .unwrap_err();
    assert_eq!(error.state().code(), "42703");
    assert_eq!(error.message(), "column \"zz\" does not exist");
}

#[test]
fn options_are_refused_in_postgresqls_words() {
    let of = |format: &str| CopyClauses {
        format: (!format.is_empty()).then(|| format.into()),
        ..CopyClauses::default()
    };
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (of("foo"), "22023", "COPY format \"foo\" not recognized"),
        (
            CopyClauses {
                delimiter: some(","),
                ..of("binary")
            },
            "42601",
            "cannot specify DELIMITER in BINARY mode",
        ),
        (
            CopyClauses {
                null: some(""),
                ..of("binary")
            },
            "42601",
            "cannot specify NULL in BINARY mode",
        ),
        (
            CopyClauses {
                delimiter: some("ab"),
                ..of("")
            },
            "0A000",
            "COPY delimiter must be a single one-byte character",
        ),
        (
            CopyClauses {
                delimiter: some("\n"),
                ..of("")
            },
            "22023",
            "COPY delimiter cannot be newline or carriage return",
        ),
        (
            CopyClauses {
                null: some("a\n"),
                ..of("")
            },
            "22023",
            "COPY null representation cannot use newline or carriage return",
        ),
        (
            CopyClauses {
                delimiter: some("a"),
                ..of("text")
            },
            "22023",
            "COPY delimiter cannot be \"a\"",
        ),
        (
            CopyClauses {
                header: true,
                ..of("binary")
            },
            "0A000",
            "cannot specify HEADER in BINARY mode",
        ),
        (
            CopyClauses {
                quote: some("x"),
                ..of("")
            },
            "0A000",
            "COPY quote available only in CSV mode",
        ),
        (
            CopyClauses {
                quote: some("xx"),
                ..of("csv")
            },
            "0A000",
            "COPY quote must be a single one-byte character",
        ),
        (
            CopyClauses {
                quote: some(","),
                ..of("csv")
            },
            "22023",
            "COPY delimiter and quote must be different",
        ),
        (
            CopyClauses {
                escape: some("x"),
                ..of("")
            },
            "0A000",
            "COPY escape available only in CSV mode",
        ),
        (
            CopyClauses {
                escape: some(""),
                ..of("csv")
            },
            "0A000",
            "COPY escape must be a single one-byte character",
        ),
        (
            CopyClauses {
                force_quote: ForceQuote::All,
                ..of("")
            },
            "0A000",
            "COPY force quote available only in CSV mode",
        ),
        (
            CopyClauses {
                delimiter: some("|"),
                null: some("|"),
                ..of("")
            },
            "0A000",
            "COPY delimiter must not appear in the NULL specification",
        ),
        (
            CopyClauses {
                null: some("\""),
                ..of("csv")
            },
            "0A000",
            "CSV quote character must not appear in the NULL specification",
        ),
        (
            CopyClauses {
                encoding: some("LATIN1"),
                ..of("")
            },
            "0A000",
            "encoding \"LATIN1\" is not supported by COPY",
        ),
    ];
    for (clauses, state, message) in cases {
        let error = CopyOptions::try_from(clauses).unwrap_err();
        assert_eq!((error.state().code(), error.message()), (state, message));
    }
    for encoding in ["UTF8", "utf-8", "Unicode"] {
        assert!(
            CopyOptions::try_from(CopyClauses {
                encoding: some(encoding),
                ..of("")
            })
            .is_ok()
        );
    }
    let defaults = options(csv());
    assert_eq!(
        (defaults.delimiter(), defaults.quote(), defaults.escape()),
        (b',', b'"', b'"')
    );
    assert_eq!(defaults.null(), "");
}
