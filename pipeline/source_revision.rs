/// Returns the commit of the program's source, with `-dirty` after it if files differed from it; `None` if it is not known.
pub fn source_revision() -> Option<&'static str> {
    Some(env!("TFNAS_SOURCE_REVISION")).filter(|revision| !revision.is_empty())
}
