//! The values of a parsed pickle, and how to look at them.

/// Where a value is in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueId(pub(super) u32);

/// One value. It refers to other values of the same pickle.
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
    /// A call that Python would make. It is never made here.
    Call(Box<Call>),
    /// An object outside the stream (PyTorch: a tensor's storage), by its id.
    Persistent(ValueId),
}

/// An object that Python would make by a call, and then change.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The called function.
    pub function: ValueId,
    /// The tuple of its arguments.
    pub arguments: ValueId,
    /// The dictionary of its keyword arguments (protocol 4's `NEWOBJ_EX`).
    pub keywords: Option<ValueId>,
    /// The argument of its `__setstate__`.
    pub state: Option<ValueId>,
    /// Values that would be appended to it.
    pub appended: Vec<ValueId>,
    /// Keys and values that would be set in it.
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
    /// Returns the value that Python would load.
    pub fn root(&self) -> ValueId {
        self.root
    }

    /// Returns the number of bytes up to and including the end mark. Other bytes may follow.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The value behind an id of this pickle.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// Returns a string, or bytes that are ASCII text (written by Python 2). Returns `None` for other values.
    pub fn text(&self, id: ValueId) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            Value::Bytes(bytes) if bytes.is_ascii() => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Returns an integer, or `None` for other values.
    pub fn int(&self, id: ValueId) -> Option<i64> {
        match self.value(id) {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns a float, or an integer as a float. Returns `None` for other values.
    pub fn number(&self, id: ValueId) -> Option<f64> {
        match self.value(id) {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// Returns the values of a tuple or list, or `None` for other values.
    pub fn sequence(&self, id: ValueId) -> Option<&[ValueId]> {
        match self.value(id) {
            Value::Tuple(values) | Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// The ids of the objects outside the stream, one for each new reference.
    pub fn persistent_ids(&self) -> impl Iterator<Item = ValueId> {
        self.values.iter().filter_map(|value| match value {
            Value::Persistent(id) => Some(*id),
            _ => None,
        })
    }

    /// Returns module, name and arguments of a call of a global without keywords, or `None` for other values.
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

    /// Returns the pairs of a `dict`, `collections.OrderedDict` or `collections.defaultdict`, in order. Returns `None`
    /// for other values.
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

    /// Returns module and name of a global or of the function of a call. Returns `None` for other values.
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

    /// Returns the type of a value in one word, for messages.
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
