//! Laws of reading records: chunks do not matter, and every record boundary is a place to go on from.

use proptest::prelude::*;

use super::*;

type Item = Result<(u64, u64, Vec<String>), RecordError>;

fn format(encoding: Encoding) -> Format {
    Format { encoding, delimiter: b',', start: Position { offset: 0, line: 1, after_cr: false } }
}

/// All items from a place on, each with the position behind it.
fn read(format: &Format, file: &[u8], from: Position, chunk: usize) -> Vec<(Item, Position)> {
    let mut reader = RecordReader::new(format, from);
    let mut items = Vec::new();
    let rest = &file[usize::try_from(from.offset).expect("small")..];
    let mut drain = |reader: &mut RecordReader| {
        while let Some(item) = reader.next_record() {
            let item =
                item.map(|record| (record.line, record.offset, record.cells().map(str::to_owned).collect::<Vec<_>>()));
            items.push((item, reader.position()));
        }
    };
    for part in rest.chunks(chunk.max(1)) {
        reader.feed(Bytes::copy_from_slice(part));
        drain(&mut reader);
    }
    reader.finish();
    drain(&mut reader);
    items
}

fn rows(file: &[u8], encoding: Encoding) -> Vec<Item> {
    let format = format(encoding);
    read(&format, file, format.start, 7).into_iter().map(|(item, _)| item).collect()
}

fn cells(file: &str) -> Vec<Vec<String>> {
    rows(file.as_bytes(), Encoding::Utf8).into_iter().map(|item| item.expect("a record").2).collect()
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

#[test]
fn quotes_and_line_ends() {
    assert_eq!(cells("a,b\r\nc,d\n\n\re,f"), [["a", "b"], ["c", "d"], ["e", "f"]]);
    assert_eq!(cells("\"a\"\"b\",\"c\nd\r\ne\"\n"), [["a\"b", "c\nd\r\ne"]]);
    assert_eq!(cells("a,\n,b"), [["a", ""], ["", "b"]]);
    assert_eq!(cells("\u{feff}a\n\u{feff}b"), [["\u{feff}a"], ["\u{feff}b"]], "marks are the format's business");
}

#[test]
fn lines_are_physical() {
    let items = rows(b"a\r\n\r\n\"b\nb\"\rc\n\nd", Encoding::Utf8);
    let lines: Vec<_> = items.into_iter().map(|item| item.expect("a record").0).collect();
    assert_eq!(lines, [1, 3, 5, 7]);
}

#[test]
fn bad_rows_are_told_and_reading_goes_on() {
    let wide = ",".repeat(600);
    let file = [b"a\n".as_slice(), wide.as_bytes(), b"\nb\n\xff,x\nc\n\xc3,\xa4\nd"].concat();
    let items = rows(&file, Encoding::Utf8);
    let error = |line, kind| Err(RecordError { line, kind });
    assert_eq!(items[1], error(2, RecordErrorKind::TooManyColumns));
    assert_eq!(items[3], error(4, RecordErrorKind::Encoding));
    assert_eq!(items[5], error(6, RecordErrorKind::Encoding));
    let good: Vec<_> = items.into_iter().flatten().map(|(_, _, cells)| cells[0].clone()).collect();
    assert_eq!(good, ["a", "b", "c", "d"]);
}

#[test]
fn five_hundred_cells_are_a_record() {
    let items = rows(format!("{}\nx", ",".repeat(499)).as_bytes(), Encoding::Utf8);
    assert_eq!(items[0].as_ref().map(|(_, _, cells)| cells.len()), Ok(500));
    let items = rows(",".repeat(500).as_bytes(), Encoding::Utf8);
    assert_eq!(items, [Err(RecordError { line: 1, kind: RecordErrorKind::TooManyColumns })]);
}

#[test]
fn a_missing_quote_does_not_eat_the_file() {
    let items = rows(b"a\n\"b\nc\nd\n", Encoding::Utf8);
    assert_eq!(items[1], Err(RecordError { line: 2, kind: RecordErrorKind::UnclosedQuote }));
    let mut file = b"a\n\"".to_vec();
    for _ in 0..120_000 {
        file.extend_from_slice(b"x@example\n");
    }
    file.extend_from_slice(b"tail\n");
    let format = format(Encoding::Utf8);
    let items: Vec<_> = read(&format, &file, format.start, 65_536).into_iter().map(|(item, _)| item).collect();
    assert_eq!(items[1], Err(RecordError { line: 2, kind: RecordErrorKind::TooLong }));
    assert!(items[2..].iter().all(Result::is_ok));
    assert_eq!(items.last().and_then(|item| item.as_ref().ok()).map(|item| item.0), Some(120_002));
}

#[test]
fn c231_a_gigabyte_line_is_given_up_at_its_limit_in_flat_memory() {
    for encoding in [Encoding::Utf8, Encoding::Utf16Le] {
        let mut reader = RecordReader::new(&format(encoding), format(encoding).start);
        let chunk = Bytes::from(vec![b'a'; 64 << 10]);
        let mut fed = 0;
        let error = loop {
            assert!(fed <= RecordReader::LINE_MAX, "{fed} bytes were read");
            reader.feed(chunk.clone());
            fed += chunk.len();
            assert!(reader.assembler.cells.capacity() <= 3 << 20);
            if let Some(item) = reader.next_record() {
                break item;
            }
        };
        assert_eq!(error, Err(RecordError { line: 1, kind: RecordErrorKind::Endless }));
        reader.feed(Bytes::from_static(b"\na\n"));
        reader.finish();
        assert_eq!(reader.next_record(), None, "nothing behind it is given");
        assert!(reader.assembler.cells.capacity() <= 4 * Assembler::STEP);
    }
}

#[test]
fn c231_a_line_within_the_limit_is_refused_however_it_was_cut_and_reading_goes_on() {
    for (length, kind) in [
        (RecordReader::RECORD_MAX + 1, RecordErrorKind::TooLong),
        (RecordReader::LINE_MAX - 1, RecordErrorKind::TooLong),
        (RecordReader::LINE_MAX, RecordErrorKind::Endless),
    ] {
        let file = [vec![b'a'; length], b"\nb\n".to_vec()].concat();
        for chunk in [4_099, 1 << 20, file.len()] {
            let format = format(Encoding::Utf8);
            let items = read(&format, &file, format.start, chunk);
            assert_eq!(items[0].0, Err(RecordError { line: 1, kind }));
            assert_eq!(items.len(), if kind == RecordErrorKind::TooLong { 2 } else { 1 });
        }
    }
}

#[test]
fn encodings_give_the_same_records() {
    let text = "name,ort\r\nJörg,\"Köln\n€\"\r\n";
    let expected: Vec<_> =
        rows(text.as_bytes(), Encoding::Utf8).into_iter().map(|item| item.map(|(.., c)| c)).collect();
    let (windows, _, _) = encoding_rs::WINDOWS_1252.encode(text);
    for (file, encoding) in [
        (text.as_bytes().to_vec(), Encoding::Utf8OrWindows1252),
        (windows.to_vec(), Encoding::Utf8OrWindows1252),
        (windows.to_vec(), Encoding::Windows1252),
        (utf16(text, true), Encoding::Utf16Le),
        (utf16(text, false), Encoding::Utf16Be),
    ] {
        let read: Vec<_> = rows(&file, encoding).into_iter().map(|item| item.map(|(.., c)| c)).collect();
        assert_eq!(read, expected, "{encoding:?}");
    }
    let lone = [0x41, 0x00, 0x00, 0xd8, 0x0a, 0x00, 0x42, 0x00];
    assert_eq!(
        rows(&lone, Encoding::Utf16Le),
        [Err(RecordError { line: 1, kind: RecordErrorKind::Encoding }), Ok((2, 6, vec!["B".to_owned()]))]
    );
}

fn file() -> impl Strategy<Value = (Encoding, Vec<u8>)> {
    let text =
        proptest::string::string_regex("([a,\"\r\näß€😀\u{feff}]{0,3}|[^\"]?\r\n){0,30}").expect("a pattern").boxed();
    let raw = prop::collection::vec(prop::sample::select(b"a,\"\r\n\xc3\xa4\xff\x00".to_vec()), 0..60);
    prop_oneof![
        text.clone().prop_map(|text| (Encoding::Utf8, text.into_bytes())),
        text.clone().prop_map(|text| (Encoding::Utf16Le, utf16(&text, true))),
        text.prop_map(|text| (Encoding::Utf16Be, utf16(&text, false))),
        raw.clone().prop_map(|raw| (Encoding::Utf8, raw)),
        raw.clone().prop_map(|raw| (Encoding::Utf8OrWindows1252, raw)),
        raw.clone().prop_map(|raw| (Encoding::Windows1252, raw)),
        raw.prop_map(|raw| (Encoding::Utf16Le, raw)),
    ]
}

proptest! {
    #[test]
    fn chunks_do_not_matter((encoding, file) in file(), one in 1usize..9, other in 1usize..200) {
        let format = format(encoding);
        prop_assert_eq!(read(&format, &file, format.start, one), read(&format, &file, format.start, other));
    }

    #[test]
    fn every_boundary_is_a_place_to_go_on((encoding, file) in file(), chunk in 1usize..20) {
        let format = format(encoding);
        let whole = read(&format, &file, format.start, 1 << 16);
        for (i, (_, behind)) in whole.iter().enumerate() {
            prop_assert!(behind.offset <= file.len() as u64);
            prop_assert_eq!(&read(&format, &file, *behind, chunk)[..], &whole[i + 1..]);
        }
    }
}
