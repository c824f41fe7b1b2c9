//! The machine's stack, marks and memo, all within the limits.

use super::limits::PickleError;
use super::reader::Machine;
use super::value::{Call, Value, ValueId};

/// Maximum number of pushes per allowed value: containers grow by the values on the stack, and an opcode of one byte
/// can push a memoized value again.
const PUSHES_A_VALUE: usize = 4;

impl Machine<'_> {
    pub(super) fn add(&mut self, value: Value) -> Result<ValueId, PickleError> {
        if self.values.len() >= self.limits.values {
            return Err(self.too_many());
        }
        let id = u32::try_from(self.values.len()).map_err(|_| self.too_many())?;
        self.values.push(value);
        Ok(ValueId(id))
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), PickleError> {
        let id = self.add(value)?;
        self.push_id(id)
    }

    pub(super) fn push_id(&mut self, id: ValueId) -> Result<(), PickleError> {
        if self.stack.len() >= self.limits.values || self.pushes >= PUSHES_A_VALUE * self.limits.values {
            return Err(self.too_many());
        }
        self.pushes += 1;
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn push_bytes(&mut self, length: usize) -> Result<(), PickleError> {
        let value = Value::Bytes(self.cursor.take(length)?.to_vec());
        self.push(value)
    }

    pub(super) fn push_text(&mut self, length: usize) -> Result<(), PickleError> {
        let text = std::str::from_utf8(self.cursor.take(length)?).map(str::to_owned);
        let text = text.map_err(|_| self.cursor.argument("UTF-8"))?;
        self.push(Value::Text(text))
    }

    pub(super) fn push_tuple(&mut self, length: usize) -> Result<(), PickleError> {
        let available = self.stack.len() - self.marks.last().copied().unwrap_or(0);
        if available < length {
            return Err(self.cursor.needs("values for a tuple"));
        }
        let values = self.stack.split_off(self.stack.len() - length);
        self.push(Value::Tuple(values))
    }

    pub(super) fn push_call(
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

    pub(super) fn top(&self) -> Result<ValueId, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&id) if self.stack.len() > floor => Ok(id),
            _ => Err(self.cursor.needs("a value")),
        }
    }

    pub(super) fn pop(&mut self) -> Result<ValueId, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn top_value(&mut self) -> Result<&mut Value, PickleError> {
        let top = self.top()?;
        Ok(&mut self.values[top.0 as usize])
    }

    pub(super) fn pop_text(&mut self) -> Result<String, PickleError> {
        let id = self.pop()?;
        match &self.values[id.0 as usize] {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.cursor.needs("names as text")),
        }
    }

    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<ValueId>, PickleError> {
        let height = self.marks.pop().ok_or_else(|| self.cursor.needs("a mark"))?;
        Ok(self.stack.split_off(height))
    }

    pub(super) fn pop_pairs(&mut self) -> Result<Vec<(ValueId, ValueId)>, PickleError> {
        let values = self.pop_to_mark()?;
        let (pairs, []) = values.as_chunks::<2>() else {
            return Err(self.cursor.needs("keys with values"));
        };
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    /// Pops the top of the stack, which may be a mark.
    pub(super) fn pop_or_unmark(&mut self) -> Result<(), PickleError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(|_| ())
    }

    pub(super) fn append(&mut self, mut added: Vec<ValueId>) -> Result<(), PickleError> {
        match self.top_value()? {
            Value::List(values) | Value::Set(values) => values.append(&mut added),
            Value::Call(call) => call.appended.append(&mut added),
            _ => return Err(self.cursor.needs("a list, set or object")),
        }
        Ok(())
    }

    pub(super) fn set_items(&mut self, mut pairs: Vec<(ValueId, ValueId)>) -> Result<(), PickleError> {
        match self.top_value()? {
            Value::Dict(items) => items.append(&mut pairs),
            Value::Call(call) => call.items.append(&mut pairs),
            _ => return Err(self.cursor.needs("a dict or object")),
        }
        Ok(())
    }

    pub(super) fn remember(&mut self, index: u64) -> Result<(), PickleError> {
        let top = self.top()?;
        self.memo.insert(index, top);
        if self.memo.len() > self.limits.values {
            return Err(self.too_many());
        }
        Ok(())
    }

    pub(super) fn recall(&mut self, index: u64) -> Result<(), PickleError> {
        match self.memo.get(&index) {
            Some(&id) => self.push_id(id),
            None => Err(self.cursor.argument("a memo index that was set")),
        }
    }

    pub(super) fn too_many(&self) -> PickleError {
        PickleError::TooManyValues { limit: self.limits.values }
    }
}
