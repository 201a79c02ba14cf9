//! Values with a type: they come back as they were put, and asking for another type is an error.

use shf_engine::{Condition, Kind, Map, Number, OpError, Value};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;

/// Asks for the key's value as each type; the names of those that it is.
fn types_of(map: &Map, key: &[u8]) -> Vec<&'static str> {
    let mut text = String::new();
    let mut answers: Vec<(&str, Result<bool, OpError>)> = vec![
        (i64::KIND.name(), map.number::<i64>(key).map(|found| found.is_some())),
        (u64::KIND.name(), map.number::<u64>(key).map(|found| found.is_some())),
        (f64::KIND.name(), map.number::<f64>(key).map(|found| found.is_some())),
        (Kind::Boolean.name(), map.boolean(key).map(|found| found.is_some())),
        (Kind::Text.name(), map.text(key, &mut text)),
    ];
    let found = map.kind(key).unwrap().unwrap().name();
    answers.retain(|(expected, answer)| match answer {
        Ok(there) => *there,
        Err(error) => {
            assert_eq!(*error, OpError::WrongType { expected, found });
            false
        }
    });
    answers.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn each_type_comes_back_and_no_other() {
    for durable in [false, true] {
        let file = MapFile::new("values");
        let map = if durable { file.create_durable(2, 16 << 20) } else { file.create(2) };
        let long = "ä".repeat(40_000);
        let values: [(&[u8], Value<'_>); 9] = [
            (b"bytes", Value::Bytes(b"\xff\x00")),
            (b"integer", Value::Integer(i64::MIN)),
            (b"unsigned", Value::Unsigned(u64::MAX)),
            (b"double", Value::Double(-0.5)),
            (b"text", Value::Text("größer")),
            (b"empty", Value::Text("")),
            (b"long", Value::Text(&long)),
            (b"yes", Value::Boolean(true)),
            (b"no", Value::Boolean(false)),
        ];
        for (key, value) in &values {
            map.put_value(key, *value).unwrap();
            assert_eq!(map.kind(key), Ok(Some(value.kind())));
            let name = value.kind().name();
            assert_eq!(types_of(&map, key), if name == "bytes" { vec![] } else { vec![name] });
        }
        assert_eq!(map.number::<i64>(b"integer"), Ok(Some(i64::MIN)));
        assert_eq!(map.number::<u64>(b"unsigned"), Ok(Some(u64::MAX)));
        assert_eq!(map.number::<f64>(b"double"), Ok(Some(-0.5)));
        assert_eq!((map.boolean(b"yes"), map.boolean(b"no")), (Ok(Some(true)), Ok(Some(false))));
        let mut text = String::from("before");
        assert_eq!((map.text(b"long", &mut text), &text), (Ok(true), &long));
        assert_eq!((map.text(b"absent", &mut text), &text[..]), (Ok(false), ""));
        assert_eq!(map.number::<i64>(b"absent"), Ok(None));
        assert_eq!(map.kind(b"absent"), Ok(None));
        // What is kept are the bytes that every get gives.
        let mut bytes = Vec::new();
        map.get(b"double", &mut bytes).unwrap();
        assert_eq!(bytes, (-0.5f64).to_le_bytes());
        // A plain put has bytes again.
        map.put(b"text", b"now bytes").unwrap();
        assert_eq!(map.kind(b"text"), Ok(Some(Kind::Bytes)));
        let put = map.put_value_if(b"text", Value::Boolean(true), Condition::Value(b"now bytes"));
        assert!(put.unwrap().unwrap().replaced);
        assert_eq!(map.boolean(b"text"), Ok(Some(true)));
        assert_sound(&map);
    }
}

#[test]
fn numbers_of_each_type_are_added_to_in_place() {
    let file = MapFile::new("numbers");
    let map = file.create(1);
    assert_eq!(map.add(b"i", -5), Ok(-5));
    assert_eq!(map.add(b"i", 2), Ok(-3));
    assert_eq!(map.add_number::<u64>(b"u", 5), Ok(5));
    assert_eq!(map.add_number::<u64>(b"u", -5), Ok(0));
    assert_eq!(map.add_number::<f64>(b"d", 0.5), Ok(0.5));
    assert_eq!(map.add_number::<f64>(b"d", 0.25), Ok(0.75));
    assert_eq!(map.add_number::<u64>(b"u", -1), Err(OpError::Overflow { value: 0, delta: -1 }));
    map.put_value(b"u", Value::Unsigned(u64::MAX)).unwrap();
    let expected = OpError::Overflow { value: u64::MAX.into(), delta: 1 };
    assert!(expected.to_string().contains("18446744073709551615"));
    assert_eq!(map.add_number::<u64>(b"u", 1), Err(expected));
    assert_eq!(map.add_number::<u64>(b"new", -1), Err(OpError::Overflow { value: 0, delta: -1 }));
    assert_eq!(map.contains(b"new"), Ok(false));
    let expected = OpError::WrongType { expected: "integer", found: "double" };
    assert_eq!(map.add(b"d", 1), Err(expected));
    let before = map.stats();
    (0..100_000).for_each(|_| _ = map.add_number::<f64>(b"d", 1.0).unwrap());
    assert_eq!(map.number::<f64>(b"d"), Ok(Some(100_000.75)));
    assert_eq!(map.stats(), before);
    assert_sound(&map);
}
