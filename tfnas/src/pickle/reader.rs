//! The stack machine that turns a stream into values.

use std::collections::HashMap;

use super::limits::{Limits, NEWEST_PROTOCOL, PickleError};
use super::opcode as op;
use super::text::{quoted, raw_unicode_escape};
use super::value::{Call, Pickle, Value, ValueId};

/// The longest line of protocol 0 (a number, a name, a memo index), but for strings.
const LONGEST_LINE: usize = 1000;

/// Reads one pickle from the beginning of `bytes`; nothing is imported or called.
///
/// # Errors
/// [`PickleError`] at the first thing that is damaged, not allowed, or beyond the limits.
pub fn parse(bytes: &[u8], limits: &Limits<'_>) -> Result<Pickle, PickleError> {
    let mut machine = Machine {
        bytes: &bytes[..bytes.len().min(limits.bytes)],
        too_long: bytes.len() > limits.bytes,
        limits,
        at: 0,
        offset: 0,
        opcode: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = machine.run()?;
    Ok(Pickle { values: machine.values, root, length: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    /// Whether bytes beyond the limit were cut off.
    too_long: bool,
    limits: &'a Limits<'a>,
    /// The next byte.
    at: usize,
    /// Where the current opcode is.
    offset: usize,
    opcode: u8,
    values: Vec<Value>,
    stack: Vec<ValueId>,
    /// Heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: HashMap<u64, ValueId>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<ValueId, PickleError> {
        loop {
            self.offset = self.at;
            self.opcode = self.byte()?;
            if self.opcode == op::STOP {
                return self.pop();
            }
            self.step()?;
        }
    }

    fn step(&mut self) -> Result<(), PickleError> {
        match self.opcode {
            op::PROTO => {
                let protocol = self.byte()?;
                if protocol > NEWEST_PROTOCOL {
                    return Err(PickleError::Protocol { protocol });
                }
            }
            op::FRAME => {
                self.long_length()?;
            }

            op::NONE => self.push(Value::None)?,
            op::NEWTRUE => self.push(Value::Bool(true))?,
            op::NEWFALSE => self.push(Value::Bool(false))?,
            op::INT => self.int_line()?,
            op::LONG => self.long_line()?,
            op::BININT => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))?;
            }
            op::BININT1 => {
                let value = self.byte()?;
                self.push(Value::Int(value.into()))?;
            }
            op::BININT2 => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))?;
            }
            op::LONG1 => {
                let length = self.byte()?.into();
                let value = integer(self.take(length)?);
                self.push(value)?;
            }
            op::LONG4 => {
                let length = self.length()?;
                let value = integer(self.take(length)?);
                self.push(value)?;
            }
            op::FLOAT => {
                let value = self.parsed("a number", |line| line.parse().ok())?;
                self.push(Value::Float(value))?;
            }
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(value))?;
            }

            op::STRING => {
                let line = self.line(self.bytes.len())?;
                let value = quoted(line).ok_or_else(|| self.argument("a quoted string"))?;
                self.push(Value::Bytes(value))?;
            }
            op::UNICODE => {
                let line = self.line(self.bytes.len())?;
                let value = raw_unicode_escape(line).ok_or_else(|| self.argument("text"))?;
                self.push(Value::Text(value))?;
            }
            op::SHORT_BINSTRING | op::SHORT_BINBYTES => {
                let length = self.byte()?.into();
                self.push_bytes(length)?;
            }
            op::BINSTRING | op::BINBYTES => {
                let length = self.length()?;
                self.push_bytes(length)?;
            }
            op::BINBYTES8 | op::BYTEARRAY8 => {
                let length = self.long_length()?;
                self.push_bytes(length)?;
            }
            op::SHORT_BINUNICODE => {
                let length = self.byte()?.into();
                self.push_text(length)?;
            }
            op::BINUNICODE => {
                let length = self.length()?;
                self.push_text(length)?;
            }
            op::BINUNICODE8 => {
                let length = self.long_length()?;
                self.push_text(length)?;
            }

            op::EMPTY_TUPLE => self.push(Value::Tuple(Vec::new()))?,
            op::EMPTY_LIST => self.push(Value::List(Vec::new()))?,
            op::EMPTY_DICT => self.push(Value::Dict(Vec::new()))?,
            op::EMPTY_SET => self.push(Value::Set(Vec::new()))?,
            op::TUPLE1 => self.push_tuple(1)?,
            op::TUPLE2 => self.push_tuple(2)?,
            op::TUPLE3 => self.push_tuple(3)?,
            op::TUPLE => {
                let values = self.pop_to_mark()?;
                self.push(Value::Tuple(values))?;
            }
            op::LIST => {
                let values = self.pop_to_mark()?;
                self.push(Value::List(values))?;
            }
            op::FROZENSET => {
                let values = self.pop_to_mark()?;
                self.push(Value::Set(values))?;
            }
            op::DICT => {
                let pairs = self.pop_pairs()?;
                self.push(Value::Dict(pairs))?;
            }
            op::APPEND => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            op::APPENDS | op::ADDITEMS => {
                let values = self.pop_to_mark()?;
                self.append(values)?;
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(vec![(key, value)])?;
            }
            op::SETITEMS => {
                let pairs = self.pop_pairs()?;
                self.set_items(pairs)?;
            }

            op::MARK => {
                if self.marks.len() >= self.limits.values {
                    return Err(self.too_many());
                }
                self.marks.push(self.stack.len());
            }
            op::POP => self.pop_or_unmark()?,
            op::POP_MARK => {
                self.pop_to_mark()?;
            }
            op::DUP => {
                let top = self.top()?;
                self.push_id(top)?;
            }
            op::PUT => {
                let index = self.parsed("a memo index", |line| line.parse().ok())?;
                self.remember(index)?;
            }
            op::BINPUT => {
                let index = self.byte()?.into();
                self.remember(index)?;
            }
            op::LONG_BINPUT => {
                let index = u32::from_le_bytes(self.array()?).into();
                self.remember(index)?;
            }
            op::MEMOIZE => self.remember(self.memo.len() as u64)?,
            op::GET => {
                let index = self.parsed("a memo index", |line| line.parse().ok())?;
                self.recall(index)?;
            }
            op::BINGET => {
                let index = self.byte()?.into();
                self.recall(index)?;
            }
            op::LONG_BINGET => {
                let index = u32::from_le_bytes(self.array()?).into();
                self.recall(index)?;
            }

            op::GLOBAL => {
                let global = self.global_lines()?;
                self.push(global)?;
            }
            op::STACK_GLOBAL => {
                let name = self.pop_text()?;
                let module = self.pop_text()?;
                let global = self.global(module, name)?;
                self.push(global)?;
            }
            op::REDUCE | op::NEWOBJ => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                self.push_call(function, arguments, None)?;
            }
            op::NEWOBJ_EX => {
                let keywords = self.pop()?;
                let arguments = self.pop()?;
                let function = self.pop()?;
                self.push_call(function, arguments, Some(keywords))?;
            }
            op::INST => {
                let global = self.global_lines()?;
                let arguments = self.pop_to_mark()?;
                let function = self.add(global)?;
                let arguments = self.add(Value::Tuple(arguments))?;
                self.push_call(function, arguments, None)?;
            }
            op::OBJ => {
                let mut arguments = self.pop_to_mark()?.into_iter();
                let function = arguments.next().ok_or_else(|| self.stack("a class"))?;
                let arguments = self.add(Value::Tuple(arguments.collect()))?;
                self.push_call(function, arguments, None)?;
            }
            op::BUILD => {
                let state = self.pop()?;
                match self.top_value()? {
                    Value::Call(call) => call.state = Some(state),
                    _ => return Err(self.stack("an object")),
                }
            }
            op::PERSID => {
                let line = self.line(LONGEST_LINE)?;
                let id = raw_unicode_escape(line).ok_or_else(|| self.argument("text"))?;
                let id = self.add(Value::Text(id))?;
                self.push(Value::Persistent(id))?;
            }
            op::BINPERSID => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))?;
            }

            op::EXT1 | op::EXT2 | op::EXT4 => return Err(self.outside("an extension registry")),
            op::NEXT_BUFFER | op::READONLY_BUFFER => {
                return Err(self.outside("a buffer outside the stream"));
            }
            opcode => {
                return Err(PickleError::UnknownOpcode { offset: self.offset, opcode });
            }
        }
        Ok(())
    }

    // The stream.

    fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let bytes = self.bytes;
        let rest = &bytes[self.at..];
        match rest.get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.end()),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    /// A length of four bytes; one that is negative in Python's eyes is as impossible as one beyond the end.
    fn length(&mut self) -> Result<usize, PickleError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn long_length(&mut self) -> Result<usize, PickleError> {
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| self.end())
    }

    /// The bytes up to the next line feed, which is skipped.
    fn line(&mut self, longest: usize) -> Result<&'a [u8], PickleError> {
        let bytes = self.bytes;
        let rest = &bytes[self.at..];
        let window = &rest[..rest.len().min(longest)];
        match window.iter().position(|&byte| byte == b'\n') {
            Some(length) => {
                self.at += length + 1;
                Ok(&rest[..length])
            }
            None if window.len() < rest.len() => Err(self.argument("a short line")),
            None => Err(self.end()),
        }
    }

    /// A line, parsed.
    fn parsed<T>(&mut self, expected: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, PickleError> {
        let line = self.line(LONGEST_LINE)?;
        let value = std::str::from_utf8(line).ok().and_then(parse);
        value.ok_or_else(|| self.argument(expected))
    }

    fn int_line(&mut self) -> Result<(), PickleError> {
        let value = self.parsed("an integer", |line| match line {
            "00" => Some(Value::Bool(false)),
            "01" => Some(Value::Bool(true)),
            line => line.parse().ok().map(Value::Int),
        })?;
        self.push(value)
    }

    fn long_line(&mut self) -> Result<(), PickleError> {
        let value = self.parsed("an integer of 64 bits", |line| line.strip_suffix('L').unwrap_or(line).parse().ok())?;
        self.push(Value::Int(value))
    }

    fn global_lines(&mut self) -> Result<Value, PickleError> {
        let mut part = || self.parsed("a name", |line| Some(line.to_owned()));
        let module = part()?;
        let name = part()?;
        self.global(module, name)
    }

    fn global(&self, module: String, name: String) -> Result<Value, PickleError> {
        if self.limits.globals.contains(&(&*module, &*name)) {
            return Ok(Value::Global { module, name });
        }
        let shortened = |text: String| text.escape_debug().take(100).collect();
        Err(PickleError::ForbiddenGlobal { offset: self.offset, module: shortened(module), name: shortened(name) })
    }

    // The stack.

    fn add(&mut self, value: Value) -> Result<ValueId, PickleError> {
        if self.values.len() >= self.limits.values {
            return Err(self.too_many());
        }
        let id = u32::try_from(self.values.len()).map_err(|_| self.too_many())?;
        self.values.push(value);
        Ok(ValueId(id))
    }

    fn push(&mut self, value: Value) -> Result<(), PickleError> {
        let id = self.add(value)?;
        self.push_id(id)
    }

    fn push_id(&mut self, id: ValueId) -> Result<(), PickleError> {
        if self.stack.len() >= self.limits.values {
            return Err(self.too_many());
        }
        self.stack.push(id);
        Ok(())
    }

    fn push_bytes(&mut self, length: usize) -> Result<(), PickleError> {
        let value = Value::Bytes(self.take(length)?.to_vec());
        self.push(value)
    }

    fn push_text(&mut self, length: usize) -> Result<(), PickleError> {
        let text = std::str::from_utf8(self.take(length)?).map(str::to_owned);
        let text = text.map_err(|_| self.argument("UTF-8"))?;
        self.push(Value::Text(text))
    }

    fn push_tuple(&mut self, length: usize) -> Result<(), PickleError> {
        let available = self.stack.len() - self.marks.last().copied().unwrap_or(0);
        if available < length {
            return Err(self.stack("values for a tuple"));
        }
        let values = self.stack.split_off(self.stack.len() - length);
        self.push(Value::Tuple(values))
    }

    fn push_call(
        &mut self,
        function: ValueId,
        arguments: ValueId,
        keywords: Option<ValueId>,
    ) -> Result<(), PickleError> {
        self.push(Value::Call(Box::new(Call {
            function,
            arguments,
            keywords,
            state: None,
            appended: Vec::new(),
            items: Vec::new(),
        })))
    }

    fn top(&self) -> Result<ValueId, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&id) if self.stack.len() > floor => Ok(id),
            _ => Err(self.stack("a value")),
        }
    }

    fn pop(&mut self) -> Result<ValueId, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top_value(&mut self) -> Result<&mut Value, PickleError> {
        let top = self.top()?;
        Ok(&mut self.values[top.0 as usize])
    }

    fn pop_text(&mut self) -> Result<String, PickleError> {
        let id = self.pop()?;
        match &self.values[id.0 as usize] {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.stack("names as text")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<ValueId>, PickleError> {
        let height = self.marks.pop().ok_or_else(|| self.stack("a mark"))?;
        Ok(self.stack.split_off(height))
    }

    fn pop_pairs(&mut self) -> Result<Vec<(ValueId, ValueId)>, PickleError> {
        let values = self.pop_to_mark()?;
        let (pairs, []) = values.as_chunks::<2>() else {
            return Err(self.stack("keys with values"));
        };
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    /// Drops the top of the stack: a mark where that is what is there.
    fn pop_or_unmark(&mut self) -> Result<(), PickleError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(|_| ())
    }

    fn append(&mut self, mut added: Vec<ValueId>) -> Result<(), PickleError> {
        match self.top_value()? {
            Value::List(values) | Value::Set(values) => values.append(&mut added),
            Value::Call(call) => call.appended.append(&mut added),
            _ => return Err(self.stack("a list, set or object")),
        }
        Ok(())
    }

    fn set_items(&mut self, mut pairs: Vec<(ValueId, ValueId)>) -> Result<(), PickleError> {
        match self.top_value()? {
            Value::Dict(items) => items.append(&mut pairs),
            Value::Call(call) => call.items.append(&mut pairs),
            _ => return Err(self.stack("a dict or object")),
        }
        Ok(())
    }

    fn remember(&mut self, index: u64) -> Result<(), PickleError> {
        let top = self.top()?;
        self.memo.insert(index, top);
        if self.memo.len() > self.limits.values {
            return Err(self.too_many());
        }
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), PickleError> {
        match self.memo.get(&index) {
            Some(&id) => self.push_id(id),
            None => Err(self.argument("a memo index that was set")),
        }
    }

    // Errors at the current opcode.

    fn end(&self) -> PickleError {
        if self.too_long {
            return PickleError::TooLong { limit: self.limits.bytes };
        }
        PickleError::Truncated { offset: self.bytes.len() }
    }

    fn too_many(&self) -> PickleError {
        PickleError::TooManyValues { limit: self.limits.values }
    }

    fn outside(&self, what: &'static str) -> PickleError {
        PickleError::Outside { offset: self.offset, what }
    }

    fn stack(&self, needs: &'static str) -> PickleError {
        PickleError::Stack { offset: self.offset, opcode: self.opcode, needs }
    }

    fn argument(&self, expected: &'static str) -> PickleError {
        PickleError::Argument { offset: self.offset, opcode: self.opcode, expected }
    }
}

/// The integer that these bytes are: two's complement, least significant first, empty for 0.
fn integer(bytes: &[u8]) -> Value {
    let fill = match bytes.last() {
        Some(last) if last & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut extended = [fill; 8];
    match extended.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(extended))
        }
        None => Value::BigInt(bytes.to_vec()),
    }
}
