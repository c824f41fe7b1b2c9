/// Returns the commit of the program's source, with the suffix `-dirty` if files were modified; `None` if unknown.
pub fn source_revision() -> Option<&'static str> {
    Some(env!("TFNAS_SOURCE_REVISION")).filter(|revision| !revision.is_empty())
}
