//! What nodes ask each other, and what they answer: payloads of [`super::exchange`].
//!
//! A question names keys. Of each it says whether its value itself is wanted, and which of some unions it belongs to; these
//! are made where the keys are, so that of thousands of values one travels. What a value is, this floor does not know: it is
//! bytes. Part of a union is a short list of values that stands for all of its keys at that node, each with a number that
//! whoever puts the parts together understands.
//!
//! Every reader accepts any bytes: `None` is what no program of ours has written.

use super::map::NodeId;
use super::wire::{Reader, Writer};

/// What is asked about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is wanted for.
    pub uses: Uses,
}

/// What a key is wanted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses(u8);

impl Uses {
    /// The most unions of one question.
    pub const MOST_UNIONS: usize = 7;

    /// Its value itself, too.
    pub fn itself(self) -> Uses {
        Uses(self.0 | 1)
    }

    /// The union of this number, too.
    pub fn union(self, number: usize) -> Uses {
        assert!(number < Self::MOST_UNIONS, "a byte has no room for more");
        Uses(self.0 | 2 << number)
    }

    /// Whether its value itself is wanted.
    pub fn wants_itself(self) -> bool {
        self.0 & 1 != 0
    }

    /// The unions it belongs to.
    pub fn unions(self) -> impl Iterator<Item = usize> {
        (0..Self::MOST_UNIONS).filter(move |number| self.0 & 2 << number != 0)
    }
}

/// What a node is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The number of the database that the asker's client has chosen.
    pub database: u32,
    /// Nobody, or the owner of all keys, which has none of them any more while it is giving their slots to the node that is
    /// asked.
    pub source: Option<NodeId>,
    /// How many unions there are.
    pub unions: usize,
    /// Each key once.
    pub keys: Vec<Key>,
}

impl Question {
    /// As a payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.length(self.database as usize);
        out.bytes(self.source.as_ref().map_or(&[], |source| source.bytes()));
        out.byte(self.unions as u8);
        out.length(self.keys.len());
        for key in &self.keys {
            out.byte(key.uses.0);
            out.bytes(&key.name);
        }
        out.finish()
    }

    /// From a payload.
    pub fn decode(bytes: &[u8]) -> Option<Question> {
        let mut from = Reader::new(bytes);
        let database = u32::try_from(from.length()?).ok()?;
        let source = match from.bytes()? {
            [] => None,
            name => Some(NodeId::new(name)?),
        };
        let unions = usize::from(from.byte()?);
        if unions > Uses::MOST_UNIONS {
            return None;
        }
        let number = from.count(5)?;
        let mut keys = Vec::with_capacity(number);
        for _ in 0..number {
            let uses = Uses(from.byte()?);
            let name = from.bytes()?.to_vec();
            if uses.unions().any(|union| union >= unions) {
                return None;
            }
            keys.push(Key { name, uses });
        }
        from.end()?;
        Some(Question {
            database,
            source,
            unions,
            keys,
        })
    }
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has a value.
    Present,
    /// There is no such key.
    Absent,
    /// This node owns it and has not got it, while it is giving its slot away: the node of this place in
    /// [`Gathered::targets`] may have it.
    Gone(u8),
    /// This node would not serve a client that reads it.
    NotMine,
    /// It cannot be read; see [`Gathered::failure`].
    Failed,
}

/// A value that stands for some of a union's, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnionPart {
    /// See [`crate::cluster::question`]; 0 for a value as it is.
    pub stands_for: u8,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// What a node has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// The lowest epoch under which it owned its slots while it read.
    pub epoch: u64,
    /// Of each key, in their order.
    pub found: Vec<Found>,
    /// The place of the first key that cannot be read, and the line of the error reply.
    pub failure: Option<(usize, String)>,
    /// To whom slots are being given, of keys that are gone.
    pub targets: Vec<NodeId>,
    /// The values of those keys that are present and wanted themselves, in their order.
    pub values: Vec<Vec<u8>>,
    /// Of each union.
    pub unions: Vec<Vec<UnionPart>>,
}

impl Gathered {
    /// Bytes that it takes as a payload, at least.
    pub fn bytes(&self) -> usize {
        let values = self.values.iter().map(Vec::len);
        let parts = self.unions.iter().flatten().map(|part| part.value.len());
        self.found.len() + values.chain(parts).sum::<usize>()
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This.
    Gathered(Gathered),
    /// It has too much to do.
    Busy,
    /// What was asked for is more than a payload may be.
    TooLarge,
    /// It has no database of that number.
    NoDatabase,
    /// It does not understand the question.
    NotUnderstood,
}

impl Answer {
    /// As a payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Answer::Gathered(gathered) => {
                out.byte(0);
                gathered.write(&mut out);
            }
            Answer::Busy => out.byte(1),
            Answer::TooLarge => out.byte(2),
            Answer::NoDatabase => out.byte(3),
            Answer::NotUnderstood => out.byte(4),
        }
        out.finish()
    }

    /// From a payload.
    pub fn decode(bytes: &[u8]) -> Option<Answer> {
        let mut from = Reader::new(bytes);
        let answer = match from.byte()? {
            0 => Answer::Gathered(Gathered::read(&mut from)?),
            1 => Answer::Busy,
            2 => Answer::TooLarge,
            3 => Answer::NoDatabase,
            4 => Answer::NotUnderstood,
            _ => return None,
        };
        from.end()?;
        Some(answer)
    }
}

impl Gathered {
    fn write(&self, out: &mut Writer) {
        out.number(self.epoch);
        out.length(self.found.len());
        for found in &self.found {
            out.byte(match found {
                Found::Present => 0,
                Found::Absent => 1,
                Found::NotMine => 2,
                Found::Failed => 3,
                Found::Gone(_) => 4,
            });
            if let Found::Gone(target) = found {
                out.byte(*target);
            }
        }
        out.length(self.targets.len());
        for target in &self.targets {
            out.bytes(target.bytes());
        }
        match &self.failure {
            None => out.byte(0),
            Some((place, line)) => {
                out.byte(1);
                out.length(*place);
                out.bytes(line.as_bytes());
            }
        }
        out.length(self.values.len());
        for value in &self.values {
            out.bytes(value);
        }
        out.length(self.unions.len());
        for parts in &self.unions {
            out.length(parts.len());
            for part in parts {
                out.byte(part.stands_for);
                out.bytes(&part.value);
            }
        }
    }

    fn read(from: &mut Reader) -> Option<Gathered> {
        let epoch = from.number()?;
        let keys = from.count(1)?;
        let mut found = Vec::with_capacity(keys);
        for _ in 0..keys {
            found.push(match from.byte()? {
                0 => Found::Present,
                1 => Found::Absent,
                2 => Found::NotMine,
                3 => Found::Failed,
                4 => Found::Gone(from.byte()?),
                _ => return None,
            });
        }
        let number = from.count(4 + NodeId::BYTES)?;
        let mut targets = Vec::with_capacity(number);
        for _ in 0..number {
            targets.push(NodeId::new(from.bytes()?)?);
        }
        let is_named = |found: &Found| match found {
            Found::Gone(target) => usize::from(*target) < targets.len(),
            _ => true,
        };
        if !found.iter().all(is_named) {
            return None;
        }
        let failure = match from.byte()? {
            0 => None,
            1 => {
                let place = from.length()?;
                let line = String::from_utf8(from.bytes()?.to_vec()).ok()?;
                (found.get(place) == Some(&Found::Failed)).then_some(Some((place, line)))?
            }
            _ => return None,
        };
        let mut values = Vec::with_capacity(from.count(4)?);
        for _ in 0..values.capacity() {
            values.push(from.bytes()?.to_vec());
        }
        let number = from.count(4)?;
        let mut unions = Vec::with_capacity(number);
        for _ in 0..number {
            let number = from.count(5)?;
            let mut parts = Vec::with_capacity(number);
            for _ in 0..number {
                let stands_for = from.byte()?;
                let value = from.bytes()?.to_vec();
                parts.push(UnionPart { stands_for, value });
            }
            unions.push(parts);
        }
        Some(Gathered {
            epoch,
            found,
            failure,
            targets,
            values,
            unions,
        })
    }

    /// Whether it is an answer to this question: it has as many of everything.
    pub fn answers(&self, question: &Question) -> bool {
        let wanted =
            |(key, found): (&Key, &Found)| *found == Found::Present && key.uses.wants_itself();
        let pairs = || question.keys.iter().zip(&self.found);
        let is_told =
            |found: &Found| matches!(found, Found::Present | Found::Absent | Found::Gone(_));
        let whole = pairs().all(|(_, found)| is_told(found));
        self.found.len() == question.keys.len()
            && (!whole
                || self.unions.len() == question.unions
                    && self.values.len() == pairs().filter(|&pair| wanted(pair)).count())
            && (self.failure.is_some() || !self.found.contains(&Found::Failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..20)
    }

    fn node(byte: u8) -> NodeId {
        NodeId::new(&[byte; NodeId::BYTES]).unwrap()
    }

    fn question() -> impl Strategy<Value = Question> {
        let uses = prop::collection::vec(
            (
                any::<bool>(),
                prop::collection::vec(0usize..3, 0..3),
                bytes(),
            ),
            0..20,
        );
        let source = prop::option::of(any::<u8>());
        let all = (any::<u32>(), source, 3usize..=7, uses);
        all.prop_map(|(database, source, unions, keys)| Question {
            database,
            source: source.map(node),
            unions,
            keys: keys
                .into_iter()
                .map(|(itself, unions, name)| {
                    let uses = if itself {
                        Uses::default().itself()
                    } else {
                        Uses::default()
                    };
                    let uses = unions.into_iter().fold(uses, Uses::union);
                    Key { name, uses }
                })
                .collect(),
        })
    }

    fn answer() -> impl Strategy<Value = Answer> {
        let found = prop::sample::select(vec![
            Found::Present,
            Found::Absent,
            Found::NotMine,
            Found::Failed,
            Found::Gone(0),
            Found::Gone(1),
        ]);
        let found = prop::collection::vec(found, 0..20);
        let values = prop::collection::vec(bytes(), 0..5);
        let part =
            (any::<u8>(), bytes()).prop_map(|(stands_for, value)| UnionPart { stands_for, value });
        let unions = prop::collection::vec(prop::collection::vec(part, 0..3), 0..3);
        let gathered = (any::<u64>(), found, "[ -~]{0,20}", values, unions);
        let gathered = gathered.prop_map(|(epoch, found, line, values, unions)| {
            let failed = found.iter().position(|found| *found == Found::Failed);
            let failure = failed.map(|place| (place, line));
            Answer::Gathered(Gathered {
                epoch,
                found,
                failure,
                targets: vec![node(1), node(2)],
                values,
                unions,
            })
        });
        prop_oneof![
            gathered,
            prop::sample::select(vec![
                Answer::Busy,
                Answer::TooLarge,
                Answer::NoDatabase,
                Answer::NotUnderstood
            ])
        ]
    }

    proptest! {
        #[test]
        fn a_question_is_read_as_it_was_written(question in question(), cut: prop::sample::Index) {
            let payload = question.encode();
            prop_assert_eq!(Question::decode(&payload[..cut.index(payload.len())]), None);
            prop_assert_eq!(Question::decode(&payload), Some(question));
        }

        #[test]
        fn an_answer_is_read_as_it_was_written(answer in answer(), cut: prop::sample::Index) {
            let payload = answer.encode();
            prop_assert_eq!(Answer::decode(&payload[..cut.index(payload.len())]), None);
            prop_assert_eq!(Answer::decode(&payload), Some(answer));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..100), answer in answer(), at: prop::sample::Index, by in 1u8..) {
            let _ = (Question::decode(&bytes), Answer::decode(&bytes));
            let mut payload = answer.encode();
            let at = at.index(payload.len());
            payload[at] ^= by;
            let _ = (Question::decode(&payload), Answer::decode(&payload));
        }
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let key = |uses| Key {
            name: b"k".to_vec(),
            uses,
        };
        let question = Question {
            database: 0,
            source: None,
            unions: 1,
            keys: vec![key(Uses::default().itself()), key(Uses::default().union(0))],
        };
        let right = Gathered {
            epoch: 1,
            found: vec![Found::Present, Found::Absent],
            failure: None,
            targets: vec![],
            values: vec![vec![1]],
            unions: vec![vec![]],
        };
        assert!(right.answers(&question));
        for wrong in [
            Gathered {
                found: vec![Found::Present],
                ..right.clone()
            },
            Gathered {
                values: vec![],
                ..right.clone()
            },
            Gathered {
                unions: vec![],
                ..right.clone()
            },
            Gathered {
                found: vec![Found::Present, Found::Failed],
                ..right.clone()
            },
        ] {
            assert!(!wrong.answers(&question));
        }
    }
}
