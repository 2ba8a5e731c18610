//! Every form of file, and what is said about those that cannot be used.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

fn read(text: &str) -> Series {
    read_bytes("x.csv", text.as_bytes()).unwrap()
}

fn refused(text: &str) -> String {
    read_bytes("x.csv", text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn forms_of_counts() {
    for text in [
        "period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:31:00,11\n1998-04-30 21:32:00,16\n",
        "ts,value\n1628640000,2\n1628640060,11\n1628640120,16\n",
        "1628640000000;2\n1628640060000;11\n1628640120000;16\n",
        "\u{feff}# a remark\nregion,requests,time\nx,2,2020-01-01T00:00:00Z\nx,11,2020-01-01T00:01:00Z\nx,16,2020-01-01T00:02:00Z\n",
        "when\thow many\n0\t2\n60\t11\n120\t16\n",
    ] {
        let series = read(text);
        assert_eq!((series.values.as_slice(), series.step_s, series.gaps), ([2.0, 11.0, 16.0].as_slice(), 60.0, 0), "{text}");
    }
    assert_eq!(read("2\n11\n16\n").values, [2.0, 11.0, 16.0]);
    assert_eq!(read("count\n2\n11\n").values, [2.0, 11.0]);
    assert_eq!(read("0,2\n1,\n2,4\n").gaps, 1);
}

#[test]
fn forms_of_requests() {
    let series = read(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,4808,10\n2023-11-16 18:17:03.99,5,1\n2023-11-16 18:17:05.01,3180,8\n",
    );
    assert_eq!((series.values, series.step_s), (vec![2.0, 0.0, 1.0], 1.0));
    assert_eq!(read("2023-11-16 18:17:03\n2023-11-16 18:17:03\n").values, [2.0]);
}

#[test]
fn packed_files_are_unpacked() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(b"0,1\n1,2\n").unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(read_bytes("x.csv.gz", &packed).unwrap().values, [1.0, 2.0]);
    let cut = read_bytes("x.csv.gz", &packed[..packed.len() - 6]).unwrap_err();
    assert!(cut.to_string().starts_with("x.csv.gz: cannot be unpacked"), "{cut}");
}

#[test]
fn errors_name_file_line_and_what_was_expected() {
    for (text, said) in [
        ("period,count\n1,2\n2,many\n", "x.csv:3: \"many\" is no count"),
        ("1,2\nsoon,3\n", "x.csv:2: \"soon\" is no moment; expected a Unix time"),
        ("# remark\n1,2\n2,-3\n", "x.csv:3: \"-3\" is no count"),
        ("1,2\n2\n", "x.csv:2: expected a time or period and a count, got 1 field"),
        ("", "x.csv: holds no rows"),
        ("ts,value\n", "x.csv: holds no rows"),
        ("1,0\n2,0\n", "x.csv: holds no load"),
        ("1,NaN\n", "x.csv:1"),
    ] {
        assert!(refused(text).starts_with(said), "{text:?}: {}", refused(text));
    }
    let missing = read_file(Path::new("/nowhere/x.csv")).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/x.csv: "), "{missing}");
    assert!(read_bytes("x", &[0xff, 0xfe, 0x00]).unwrap_err().to_string().contains("not text"));
}

#[test]
fn the_built_in_trace_is_sixty_whole_hours() {
    let series = built_in().unwrap();
    assert_eq!((series.values.len(), series.step_s, series.gaps), (3_600, 60.0, 0));
    assert!(series.values.iter().all(|v| *v > 0.0));
}
