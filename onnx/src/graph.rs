//! A builder for graphs of nodes and weights.

use crate::message::{
    Attribute, AttributeType, DataType, Dimension, Graph, Node, Shape, Size, Tensor, TensorType, Type, ValueInfo,
};

/// A graph under construction. Add each node after the nodes whose outputs it reads.
#[derive(Default)]
pub(crate) struct GraphBuilder {
    nodes: Vec<Node>,
    initializers: Vec<Tensor>,
}

impl GraphBuilder {
    /// Adds a tensor of weights, in row-major order, as the value `name`.
    pub fn weight(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.initializers.push(Tensor {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: DataType::Float.into(),
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        name.to_owned()
    }

    /// Adds a node and returns its output, which has the node's name.
    pub fn node(&mut self, operator: &str, name: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        self.node_giving(name, operator, name, inputs, attributes)
    }

    /// Adds a node and returns its output, which is named `output`.
    pub fn node_giving(
        &mut self,
        output: &str,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> String {
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes,
        });
        output.to_owned()
    }

    /// Returns the finished graph.
    pub fn finish(self, name: &str, input: ValueInfo, output: ValueInfo) -> Graph {
        Graph {
            node: self.nodes,
            name: name.to_owned(),
            initializer: self.initializers,
            input: vec![input],
            output: vec![output],
        }
    }
}

/// Returns an integer attribute.
pub(crate) fn int(name: &str, value: usize) -> Attribute {
    Attribute { name: name.to_owned(), i: value as i64, r#type: AttributeType::Int.into(), ..Attribute::default() }
}

/// Returns an attribute with a list of integers.
pub(crate) fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|&value| value as i64).collect();
    Attribute { name: name.to_owned(), ints, r#type: AttributeType::Ints.into(), ..Attribute::default() }
}

/// Returns a float attribute.
pub(crate) fn float(name: &str, value: f32) -> Attribute {
    Attribute { name: name.to_owned(), f: value, r#type: AttributeType::Float.into(), ..Attribute::default() }
}

/// Returns an f32 input or output with N samples of these sizes.
pub(crate) fn batch_of(name: &str, sizes: &[usize]) -> ValueInfo {
    let samples = std::iter::once(Size::Named("N".to_owned()));
    let sizes = samples.chain(sizes.iter().map(|&size| Size::Fixed(size as i64)));
    let shape = Shape { dim: sizes.map(|size| Dimension { value: Some(size) }).collect() };
    let tensor_type = Some(TensorType { elem_type: DataType::Float.into(), shape: Some(shape) });
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor_type }) }
}
