//! The stack machine that converts a stream to values: the effect of each opcode.

use std::collections::HashMap;

use super::cursor::{Cursor, LONGEST_LINE};
use super::limits::{Foreign, Limits, NEWEST_PROTOCOL, PickleError};
use super::opcode as op;
use super::text::{quoted, raw_unicode_escape};
use super::value::{Pickle, Value, ValueId};

/// Reads one pickle from the beginning of `bytes`. Nothing is imported or called.
///
/// # Errors
/// Returns [`PickleError`] at the first invalid or disallowed opcode, or when a limit is exceeded.
pub fn parse(bytes: &[u8], limits: &Limits<'_>) -> Result<Pickle, PickleError> {
    let mut machine = Machine {
        cursor: Cursor::new(bytes, limits.bytes),
        limits,
        values: Vec::new(),
        stack: Vec::new(),
        pushes: 0,
        marks: Vec::new(),
        memo: HashMap::new(),
        name_bytes: 0,
    };
    let root = machine.run()?;
    Ok(Pickle { values: machine.values, root, length: machine.cursor.at() })
}

/// The machine. Its stack operations are in [`super::stack`].
pub(super) struct Machine<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) limits: &'a Limits<'a>,
    pub(super) values: Vec<Value>,
    pub(super) stack: Vec<ValueId>,
    /// How often something was put on the stack.
    pub(super) pushes: usize,
    /// Heights of the stack at which marks were set.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u64, ValueId>,
    /// Bytes of the names of all globals.
    name_bytes: usize,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<ValueId, PickleError> {
        loop {
            match self.cursor.next_opcode()? {
                op::STOP => return self.pop(),
                opcode => self.step(opcode)?,
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            op::PROTO => {
                let protocol = self.cursor.byte()?;
                if protocol > NEWEST_PROTOCOL {
                    return Err(PickleError::Protocol { protocol });
                }
            }
            op::FRAME => {
                self.cursor.long_length()?;
            }

            op::NONE => self.push(Value::None)?,
            op::NEWTRUE => self.push(Value::Bool(true))?,
            op::NEWFALSE => self.push(Value::Bool(false))?,
            op::INT => self.int_line()?,
            op::LONG => self.long_line()?,
            op::BININT => {
                let value = i32::from_le_bytes(self.cursor.array()?);
                self.push(Value::Int(value.into()))?;
            }
            op::BININT1 => {
                let value = self.cursor.byte()?;
                self.push(Value::Int(value.into()))?;
            }
            op::BININT2 => {
                let value = u16::from_le_bytes(self.cursor.array()?);
                self.push(Value::Int(value.into()))?;
            }
            op::LONG1 => {
                let length = self.cursor.byte()?.into();
                let value = integer(self.cursor.take(length)?);
                self.push(value)?;
            }
            op::LONG4 => {
                let length = self.cursor.length()?;
                let value = integer(self.cursor.take(length)?);
                self.push(value)?;
            }
            op::FLOAT => {
                let value = self.cursor.parsed("a number", |line| line.parse().ok())?;
                self.push(Value::Float(value))?;
            }
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.cursor.array()?);
                self.push(Value::Float(value))?;
            }

            op::STRING => {
                let line = self.cursor.line(usize::MAX)?;
                let value = quoted(line).ok_or_else(|| self.cursor.argument("a quoted string"))?;
                self.push(Value::Bytes(value))?;
            }
            op::UNICODE => {
                let line = self.cursor.line(usize::MAX)?;
                let value = raw_unicode_escape(line).ok_or_else(|| self.cursor.argument("text"))?;
                self.push(Value::Text(value))?;
            }
            op::SHORT_BINSTRING | op::SHORT_BINBYTES => {
                let length = self.cursor.byte()?.into();
                self.push_bytes(length)?;
            }
            op::BINSTRING | op::BINBYTES => {
                let length = self.cursor.length()?;
                self.push_bytes(length)?;
            }
            op::BINBYTES8 | op::BYTEARRAY8 => {
                let length = self.cursor.long_length()?;
                self.push_bytes(length)?;
            }
            op::SHORT_BINUNICODE => {
                let length = self.cursor.byte()?.into();
                self.push_text(length)?;
            }
            op::BINUNICODE => {
                let length = self.cursor.length()?;
                self.push_text(length)?;
            }
            op::BINUNICODE8 => {
                let length = self.cursor.long_length()?;
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
                let index = self.cursor.parsed("a memo index", |line| line.parse().ok())?;
                self.remember(index)?;
            }
            op::BINPUT => {
                let index = self.cursor.byte()?.into();
                self.remember(index)?;
            }
            op::LONG_BINPUT => {
                let index = u32::from_le_bytes(self.cursor.array()?).into();
                self.remember(index)?;
            }
            op::MEMOIZE => self.remember(self.memo.len() as u64)?,
            op::GET => {
                let index = self.cursor.parsed("a memo index", |line| line.parse().ok())?;
                self.recall(index)?;
            }
            op::BINGET => {
                let index = self.cursor.byte()?.into();
                self.recall(index)?;
            }
            op::LONG_BINGET => {
                let index = u32::from_le_bytes(self.cursor.array()?).into();
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
                let function = arguments.next().ok_or_else(|| self.cursor.needs("a class"))?;
                let arguments = self.add(Value::Tuple(arguments.collect()))?;
                self.push_call(function, arguments, None)?;
            }
            op::BUILD => {
                let state = self.pop()?;
                match self.top_value()? {
                    Value::Call(call) => call.state = Some(state),
                    _ => return Err(self.cursor.needs("an object")),
                }
            }
            op::PERSID => {
                let line = self.cursor.line(LONGEST_LINE)?;
                let id = raw_unicode_escape(line).ok_or_else(|| self.cursor.argument("text"))?;
                let id = self.add(Value::Text(id))?;
                self.push(Value::Persistent(id))?;
            }
            op::BINPERSID => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))?;
            }

            op::EXT1 => {
                let code = self.cursor.byte()?.into();
                self.extension(code)?;
            }
            op::EXT2 => {
                let code = u16::from_le_bytes(self.cursor.array()?).into();
                self.extension(code)?;
            }
            op::EXT4 => {
                let code = u32::from_le_bytes(self.cursor.array()?);
                self.extension(code)?;
            }
            op::NEXT_BUFFER | op::READONLY_BUFFER => {
                return Err(self.cursor.outside("a buffer outside the stream"));
            }
            _ => return Err(self.cursor.unknown()),
        }
        Ok(())
    }

    fn int_line(&mut self) -> Result<(), PickleError> {
        let value = self.cursor.parsed("an integer", |line| match line {
            "00" => Some(Value::Bool(false)),
            "01" => Some(Value::Bool(true)),
            line => line.parse().ok().map(Value::Int),
        })?;
        self.push(value)
    }

    fn long_line(&mut self) -> Result<(), PickleError> {
        let number = |line: &str| line.strip_suffix('L').unwrap_or(line).parse().ok();
        let value = self.cursor.parsed("an integer of 64 bits", number)?;
        self.push(Value::Int(value))
    }

    fn global_lines(&mut self) -> Result<Value, PickleError> {
        let mut part = || self.cursor.parsed("a name", |line| Some(line.to_owned()));
        let module = part()?;
        let name = part()?;
        self.global(module, name)
    }

    /// Pushes a global that only the registry of the program that wrote the stream can name.
    fn extension(&mut self, code: u32) -> Result<(), PickleError> {
        if self.limits.foreign == Foreign::Refused {
            return Err(self.cursor.outside("an extension registry"));
        }
        let global = self.global("copyreg".to_owned(), format!("extension {code}"))?;
        self.push(global)
    }

    fn global(&mut self, module: String, name: String) -> Result<Value, PickleError> {
        // A stream may name its longest string many times.
        self.name_bytes = self.name_bytes.saturating_add(module.len() + name.len());
        if self.name_bytes > self.limits.bytes {
            return Err(PickleError::Names { limit: self.limits.bytes });
        }
        if self.limits.foreign == Foreign::Opaque || self.limits.globals.contains(&(&*module, &*name)) {
            return Ok(Value::Global { module, name });
        }
        let shortened = |text: String| text.escape_debug().take(100).collect();
        let offset = self.cursor.offset();
        Err(PickleError::ForbiddenGlobal { offset, module: shortened(module), name: shortened(name) })
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
