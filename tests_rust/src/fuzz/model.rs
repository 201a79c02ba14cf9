//! What a sound map has to answer.

use shf_engine::{Elements, Kind, Map, OpError};
use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;

/// What a key has.
enum Held {
    Value(Vec<u8>),
    List(VecDeque<Vec<u8>>),
}

/// The contents of a map that the checker found sound, as a plain map.
pub struct Model {
    held: HashMap<Vec<u8>, Held>,
    /// Whether the map has fixed lengths, and refuses what has others, a type or an age.
    fixed: bool,
}

impl Model {
    /// The model of a sound map; panics when walk, count and gets contradict each other.
    pub fn of(map: &Map) -> Model {
        // Damage may have given a key a deadline that is over, which only the size tells of.
        assert!(map.reap().is_ok(), "a sound map");
        let mut pairs = HashMap::new();
        let walked = map.for_each_with(b"", &mut |pair| {
            let key = pair.key;
            let held = match pair.kind {
                Kind::List => Held::List(elements(map, key).expect("a sound map").into()),
                _ => Held::Value(pair.value.to_vec()),
            };
            assert!(pairs.insert(key.to_vec(), held).is_none(), "{} twice", name(key));
            true
        });
        assert_eq!(walked, Ok(()), "a walk over a sound map");
        assert_eq!(map.size(), pairs.len() as u64, "size of a sound map");
        let model = Model { held: pairs, fixed: map.stats().fixed_key_bytes > 0 };
        let mut value = Vec::new();
        for (key, expected) in &model.held {
            let Held::Value(expected) = expected else { continue };
            assert_eq!(
                map.get(key, &mut value),
                Ok(true),
                "get of {}, which a walk visited",
                name(key)
            );
            assert!(value == *expected, "value of {}", name(key));
        }
        model
    }

    /// Judges a get.
    pub fn got(&self, key: &[u8], answer: Result<Option<&[u8]>, OpError>) {
        let right = match self.held.get(key) {
            Some(Held::Value(value)) => Ok(Some(&value[..])),
            Some(Held::List(_)) => Err(WRONG),
            None => Ok(None),
        };
        assert!(
            answer == right,
            "get of {}: {:?}, not {:?} bytes",
            name(key),
            answer.map(|v| v.map(<[u8]>::len)),
            right.map(|v: Option<&[u8]>| v.map(<[u8]>::len))
        );
    }

    /// Judges a get into a buffer of a length that may be too small.
    pub fn got_into(&self, key: &[u8], buffer: &[u8], answer: Result<Option<usize>, OpError>) {
        let found_bytes = buffer.len() as u64;
        match (self.held.get(key), answer) {
            (Some(Held::Value(value)), Err(OpError::BufferTooSmall { needed_bytes, .. })) => {
                assert_eq!(needed_bytes, value.len() as u64, "{}", name(key));
                assert!(needed_bytes > found_bytes, "{needed_bytes} bytes fit");
            }
            (_, answer) => self.got(key, answer.map(|len| len.map(|len| &buffer[..len]))),
        }
    }

    /// Judges whether the key is there.
    pub fn contains(&self, key: &[u8], answer: Result<bool, OpError>) {
        assert_eq!(answer, Ok(self.held.contains_key(key)), "{}", name(key));
    }

    /// Judges a touch.
    pub fn touch(&self, key: &[u8], answer: Result<bool, OpError>) {
        may_be(answer, &self.held.contains_key(key), "touch of", key, self.fixed);
    }

    /// Judges a put, and makes it.
    pub fn put(&mut self, key: &[u8], value: &[u8], answer: Result<bool, OpError>) {
        let there = self.held.contains_key(key);
        if may_be(answer, &there, "put of", key, self.fixed) {
            self.held.insert(key.to_vec(), Held::Value(value.to_vec()));
        }
    }

    /// Judges an addition, and makes it.
    pub fn add(&mut self, key: &[u8], delta: i64, answer: Result<i64, OpError>) {
        let integer = |held: &Held| match held {
            Held::Value(value) => value.as_slice().try_into().map(i64::from_le_bytes).ok(),
            Held::List(_) => None,
        };
        let old = self.held.get(key).map(integer);
        match (old, answer) {
            // No integer has a key as long as that.
            (_, Err(OpError::TooLarge { .. })) | (Some(_), Err(OpError::WrongType { .. })) => {}
            (Some(Some(old)), Err(OpError::Overflow { value, .. })) => {
                assert_eq!(value, i128::from(old), "{}", name(key));
                assert!(old.checked_add(delta).is_none(), "{old} + {delta}");
            }
            (Some(None), answer) => panic!("add to the bytes of {}: {answer:?}", name(key)),
            (old, answer) => {
                let sum = old.flatten().unwrap_or(0).wrapping_add(delta);
                if may_be(answer, &sum, "add to", key, self.fixed) {
                    self.held.insert(key.to_vec(), Held::Value(sum.to_le_bytes().into()));
                }
            }
        }
    }

    /// Judges a delete, and makes it.
    pub fn delete(&mut self, key: &[u8], answer: Result<bool, OpError>) {
        assert_eq!(answer, Ok(self.held.remove(key).is_some()), "delete of {}", name(key));
    }

    /// Judges a push, and makes it.
    pub fn push(&mut self, key: &[u8], element: &[u8], front: bool, answer: Result<u64, OpError>) {
        let list = match self.held.get_mut(key) {
            Some(Held::Value(_)) => {
                return assert!(matches!(answer, Err(OpError::WrongType { .. })), "{answer:?}");
            }
            Some(Held::List(list)) => Some(list),
            None => None,
        };
        let len = list.as_ref().map_or(0, |list| list.len() as u64);
        if !may_be(answer, &(len + 1), "push to", key, self.fixed) {
            return;
        }
        let held = self.held.entry(key.to_vec()).or_insert(Held::List(VecDeque::new()));
        let Held::List(list) = held else { return };
        match front {
            true => list.push_front(element.to_vec()),
            false => list.push_back(element.to_vec()),
        }
    }

    /// Judges a pop, and makes it.
    pub fn pop(&mut self, key: &[u8], front: bool, answer: Result<Option<Vec<u8>>, OpError>) {
        let expected = match self.held.get_mut(key) {
            Some(Held::Value(_)) => {
                return assert!(matches!(answer, Err(OpError::WrongType { .. })), "{answer:?}");
            }
            Some(Held::List(list)) if front => list.pop_front(),
            Some(Held::List(list)) => list.pop_back(),
            None => None,
        };
        assert!(answer == Ok(expected), "pop of {}", name(key));
        if matches!(self.held.get(key), Some(Held::List(list)) if list.is_empty()) {
            self.held.remove(key);
        }
    }

    /// Judges a range of all.
    pub fn range(&self, key: &[u8], answer: Result<Vec<Vec<u8>>, OpError>) {
        match self.held.get(key) {
            Some(Held::Value(_)) => assert!(matches!(answer, Err(OpError::WrongType { .. }))),
            Some(Held::List(list)) => assert!(answer.is_ok_and(|all| *list == all)),
            None => assert!(answer.is_ok_and(|all| all.is_empty())),
        }
    }

    /// Judges a clear, and makes it.
    pub fn clear(&mut self, answer: Result<u64, OpError>) {
        assert_eq!(answer, Ok(self.held.len() as u64), "clear");
        self.held.clear();
    }
}

const WRONG: OpError = OpError::WrongType { expected: "bytes", found: "list" };

/// All elements of a list.
pub fn elements(map: &Map, key: &[u8]) -> Result<Vec<Vec<u8>>, OpError> {
    let mut elements = Elements::new();
    map.range(key, 0, i64::MAX, &mut elements)?;
    Ok(elements.iter().map(<[u8]>::to_vec).collect())
}

/// Whether a sound map did what it should; else it must be too full for it, and has done nothing.
fn may_be<T: Debug + PartialEq>(
    answer: Result<T, OpError>,
    right: &T,
    what: &str,
    key: &[u8],
    fixed: bool,
) -> bool {
    use OpError::{HashCollisions, NoAges, NoSpace, TooLarge, WrongLength, WrongType};
    match answer {
        Ok(answer) => assert_eq!(answer, *right, "{what} {}", name(key)),
        Err(NoSpace { .. } | HashCollisions { .. } | TooLarge { .. }) => return false,
        Err(WrongLength { .. } | WrongType { .. } | NoAges) if fixed => return false,
        Err(error) => panic!("{what} {}: {error:?}", name(key)),
    }
    true
}

/// A key, cut short.
fn name(key: &[u8]) -> String {
    format!("{} bytes {:?}", key.len(), String::from_utf8_lossy(&key[..key.len().min(16)]))
}
