//! The values of a parsed pickle, and how to look at them.

/// Where a value is in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueId(pub(super) u32);

/// One value; what it contains are other values of the same pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// Another integer: two's complement, least significant byte first.
    BigInt(Vec<u8>),
    /// A float.
    Float(f64),
    /// `str`.
    Text(String),
    /// `bytes`, `bytearray`, or the `str` of Python 2.
    Bytes(Vec<u8>),
    /// `list`.
    List(Vec<ValueId>),
    /// `tuple`.
    Tuple(Vec<ValueId>),
    /// `dict`, in the order of the stream, keys as often as they came.
    Dict(Vec<(ValueId, ValueId)>),
    /// `set` or `frozenset`.
    Set(Vec<ValueId>),
    /// A name that Python would import: never imported here.
    Global {
        /// Its module.
        module: String,
        /// Its name in the module.
        name: String,
    },
    /// A call that Python would make: never made here.
    Call(Box<Call>),
    /// An object outside the stream (PyTorch: a tensor's storage), by its id.
    Persistent(ValueId),
}

/// An object that Python would make by a call, and then change.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What would be called.
    pub function: ValueId,
    /// The tuple of its arguments.
    pub arguments: ValueId,
    /// The dictionary of its keyword arguments (protocol 4's `NEWOBJ_EX`).
    pub keywords: Option<ValueId>,
    /// What its `__setstate__` would receive.
    pub state: Option<ValueId>,
    /// What would be appended to it.
    pub appended: Vec<ValueId>,
    /// What would be set in it, key and value.
    pub items: Vec<(ValueId, ValueId)>,
}

/// A parsed pickle.
#[derive(Clone, Debug, PartialEq)]
pub struct Pickle {
    pub(super) values: Vec<Value>,
    pub(super) root: ValueId,
    pub(super) length: usize,
}

impl Pickle {
    /// The value that loading the pickle would give.
    pub fn root(&self) -> ValueId {
        self.root
    }

    /// Bytes from the beginning of the stream up to and including its end mark; others may follow.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The value behind an id of this pickle.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// A text, or bytes that are ASCII text (what Python 2 wrote); `None` for anything else.
    pub fn text(&self, id: ValueId) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            Value::Bytes(bytes) if bytes.is_ascii() => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// An integer; `None` for anything else.
    pub fn int(&self, id: ValueId) -> Option<i64> {
        match self.value(id) {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A float, or an integer as a float; `None` for anything else.
    pub fn number(&self, id: ValueId) -> Option<f64> {
        match self.value(id) {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The values of a tuple or list; `None` for anything else.
    pub fn sequence(&self, id: ValueId) -> Option<&[ValueId]> {
        match self.value(id) {
            Value::Tuple(values) | Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// The ids of the objects outside the stream, one for each time that one was referred to anew.
    pub fn persistent_ids(&self) -> impl Iterator<Item = ValueId> {
        self.values.iter().filter_map(|value| match value {
            Value::Persistent(id) => Some(*id),
            _ => None,
        })
    }

    /// Module, name and arguments of a call of a global without keywords; `None` for anything else.
    pub fn call(&self, id: ValueId) -> Option<(&str, &str, &[ValueId])> {
        let Value::Call(call) = self.value(id) else { return None };
        let Value::Global { module, name } = self.value(call.function) else { return None };
        let arguments = self.sequence(call.arguments)?;
        call.keywords.is_none().then_some((module.as_str(), name.as_str(), arguments))
    }

    /// Whether this is the global `module.name`.
    pub fn is_global(&self, id: ValueId, module: &str, name: &str) -> bool {
        matches!(self.value(id), Value::Global { module: m, name: n } if m == module && n == name)
    }

    /// The pairs of a `dict`, `collections.OrderedDict` or `collections.defaultdict`, in order; `None` for anything else.
    pub fn mapping(&self, id: ValueId) -> Option<Vec<(ValueId, ValueId)>> {
        let call = match self.value(id) {
            Value::Dict(pairs) => return Some(pairs.clone()),
            Value::Call(call) => call,
            _ => return None,
        };
        if !call.appended.is_empty() || call.keywords.is_some() {
            return None;
        }
        if self.is_global(call.function, "collections", "defaultdict") {
            return Some(call.items.clone());
        }
        if !self.is_global(call.function, "collections", "OrderedDict") {
            return None;
        }
        // Written as OrderedDict() and items set later, or (Python 2) as OrderedDict([[key, value], …]).
        let mut pairs = match self.sequence(call.arguments)? {
            [] => Vec::new(),
            [items] => {
                let items = self.sequence(*items)?.iter();
                items.map(|&item| self.pair(item)).collect::<Option<_>>()?
            }
            _ => return None,
        };
        pairs.extend_from_slice(&call.items);
        Some(pairs)
    }

    fn pair(&self, id: ValueId) -> Option<(ValueId, ValueId)> {
        match self.sequence(id)? {
            [key, value] => Some((*key, *value)),
            _ => None,
        }
    }

    /// Module and name of a global, or of what a call would call; `None` for anything else.
    pub fn made_by(&self, id: ValueId) -> Option<(&str, &str)> {
        let global = match self.value(id) {
            Value::Call(call) => call.function,
            _ => id,
        };
        match self.value(global) {
            Value::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    /// Module and name of each global in the stream, as often as it is named.
    pub fn globals(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().filter_map(|value| match value {
            Value::Global { module, name } => Some((module.as_str(), name.as_str())),
            _ => None,
        })
    }

    /// What a value is, in a word, for messages.
    pub fn kind(&self, id: ValueId) -> &'static str {
        match self.value(id) {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) | Value::BigInt(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Text(_) => "a string",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dict",
            Value::Set(_) => "a set",
            Value::Global { .. } => "a global name",
            Value::Call(_) => "an object",
            Value::Persistent(_) => "a persistent object",
        }
    }
}
