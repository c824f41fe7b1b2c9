//! Writing pickles of protocol 2, which every Python that the original runs on can load.

use std::collections::HashMap;

use super::opcode as op;

/// Writes values in the order in which a loader builds them.
///
/// The caller is the stack machine's programmer: a dictionary is [`empty_dict`](Self::empty_dict),
/// [`mark`](Self::mark), keys and values in turn, [`set_items`](Self::set_items).
pub struct PickleWriter {
    bytes: Vec<u8>,
    memorised: u32,
    globals: HashMap<(&'static str, &'static str), MemoIndex>,
}

/// A value that can be written again by reference.
#[derive(Clone, Copy, Debug)]
pub struct MemoIndex(u32);

impl PickleWriter {
    /// Begins a pickle.
    #[expect(clippy::new_without_default, reason = "an empty pickle is not a default value")]
    pub fn new() -> Self {
        Self { bytes: vec![op::PROTO, 2], memorised: 0, globals: HashMap::new() }
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.bytes.push(op::BINUNICODE);
        let length = u32::try_from(text.len()).expect("texts of a pickle are shorter than 4 GiB");
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    /// An integer.
    pub fn int(&mut self, value: i64) {
        match i32::try_from(value) {
            Ok(small) => {
                self.bytes.push(op::BININT);
                self.bytes.extend(small.to_le_bytes());
            }
            Err(_) => {
                self.bytes.extend([op::LONG1, 8]);
                self.bytes.extend(value.to_le_bytes());
            }
        }
    }

    /// A float.
    pub fn float(&mut self, value: f64) {
        self.bytes.push(op::BINFLOAT);
        self.bytes.extend(value.to_be_bytes());
    }

    /// Imports a name; it is written in full only the first time. Neither part may contain a line feed.
    pub fn global(&mut self, module: &'static str, name: &'static str) {
        if let Some(&index) = self.globals.get(&(module, name)) {
            return self.recall(index);
        }
        self.bytes.push(op::GLOBAL);
        self.bytes.extend(format!("{module}\n{name}\n").as_bytes());
        let index = self.memorise();
        self.globals.insert((module, name), index);
    }

    /// An empty tuple.
    pub fn empty_tuple(&mut self) {
        self.bytes.push(op::EMPTY_TUPLE);
    }

    /// Ends a series of values: they become one tuple.
    pub fn tuple(&mut self) {
        self.bytes.push(op::TUPLE);
    }

    /// `True` or `False`.
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(if value { op::NEWTRUE } else { op::NEWFALSE });
    }

    /// Refers to an external object, whose id is on top of the stack.
    pub fn persistent(&mut self) {
        self.bytes.push(op::BINPERSID);
    }

    /// An empty dictionary.
    pub fn empty_dict(&mut self) {
        self.bytes.push(op::EMPTY_DICT);
    }

    /// Calls the global below with the tuple of arguments on top.
    pub fn reduce(&mut self) {
        self.bytes.push(op::REDUCE);
    }

    /// Begins a series of values.
    pub fn mark(&mut self) {
        self.bytes.push(op::MARK);
    }

    /// Ends a series of keys and values and sets them in the value below the mark.
    pub fn set_items(&mut self) {
        self.bytes.push(op::SETITEMS);
    }

    /// Remembers the value on top.
    pub fn memorise(&mut self) -> MemoIndex {
        let index = self.memorised;
        self.memorised += 1;
        self.bytes.push(op::LONG_BINPUT);
        self.bytes.extend(index.to_le_bytes());
        MemoIndex(index)
    }

    /// Writes a remembered value again.
    pub fn recall(&mut self, MemoIndex(index): MemoIndex) {
        self.bytes.push(op::LONG_BINGET);
        self.bytes.extend(index.to_le_bytes());
    }

    /// Ends the pickle. Its value is on top of the stack.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(op::STOP);
        self.bytes
    }
}
