//! Paragraphs of `Name: value` fields, as Debian's control files, `Packages`, `Release` and `.sources` files hold them (deb822(5),
//! Debian Policy 5.1).
//!
//! Borrows everything from the text, so that an index of 60 MB costs one pass and no copies. It knows nothing of what the fields mean.
//! Signatures are not its business either: whoever reads an `InRelease` takes off the OpenPGP armour first.

use std::fmt;

/// More fields than any real paragraph has; above it a paragraph is refused, so that looking for duplicates stays cheap.
const MOST_FIELDS: usize = 512;

/// Whether lines that start with `#` are skipped (`.sources`, `debian/control`) or are an error (everything that a repository publishes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comments {
    /// A line that starts with `#` is a comment, also inside a folded field.
    Skipped,
    /// A line that starts with `#` is an error.
    Refused,
}

/// What is wrong with a text, and in which line (counted from 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct SyntaxError {
    /// The line, counted from 1 at the start of the text.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Bytes that are not UTF-8.
    #[error("not UTF-8 text")]
    NotUtf8,
    /// A line that is neither a field, a continuation nor empty.
    #[error("no colon: a field is written `Name: value`, and its further lines start with a blank")]
    NoColon,
    /// A name with a character that names may not have.
    #[error("`{0}` is not a field name (printable ASCII without blanks, not starting with `#` or `-`)")]
    BadName(String),
    /// A continuation line with no field above it.
    #[error("a continuation line without a field above it")]
    StrayContinuation,
    /// A field that its paragraph has already.
    #[error("the field `{name}` is here twice (first in line {first})")]
    Duplicate {
        /// The field's name as written here.
        name: String,
        /// Where it stood first.
        first: usize,
    },
    /// A `#` line where comments are not allowed.
    #[error("a comment, where none is allowed")]
    Comment,
    /// A paragraph with more fields than any real one.
    #[error("a paragraph of more than {MOST_FIELDS} fields")]
    TooManyFields,
}

/// One field. The name is compared without regard to case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written.
    pub name: &'a str,
    /// The value, outer blanks taken off; a folded field's has its line breaks, indents and comments still in it (see [`Field::lines`]).
    pub value: &'a str,
    /// The line of the name, counted from 1.
    pub line: usize,
}

impl<'a> Field<'a> {
    /// The value's lines without outer blanks and without comments. The first one is the text after the colon (perhaps empty).
    pub fn lines(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.value.split('\n').filter(|line| !line.starts_with('#')).map(str::trim)
    }

    /// The words of the value, across its lines.
    pub fn words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.lines().flat_map(str::split_ascii_whitespace)
    }
}

/// One paragraph: at least one field, no two of one name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paragraph<'a> {
    fields: Vec<Field<'a>>,
}

impl<'a> Paragraph<'a> {
    /// The field of this name (case does not count).
    pub fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The value of the field of this name (case does not count); see [`Field::value`].
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.field(name).map(|field| field.value)
    }

    /// All fields in the order of the text.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// The line in which the paragraph starts, counted from 1.
    pub fn line(&self) -> usize {
        self.fields.first().map_or(1, |field| field.line)
    }
}

/// The bytes as text, or the line of the first byte that is not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, SyntaxError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = memchr::memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count() + 1;
        SyntaxError { line, fault: Fault::NotUtf8 }
    })
}

/// The paragraphs of a text, one after the other. After an error the iterator ends.
pub fn paragraphs(text: &str, comments: Comments) -> Paragraphs<'_> {
    Paragraphs { text, at: 0, line: 0, comments }
}

/// The only paragraph of a text (a package's `control`); `None` if there is none or more than one.
pub fn single(text: &str, comments: Comments) -> Result<Option<Paragraph<'_>>, SyntaxError> {
    let mut all = paragraphs(text, comments);
    let first = all.next().transpose()?;
    let second = all.next().transpose()?;
    Ok(if second.is_none() { first } else { None })
}

/// See [`paragraphs`].
pub struct Paragraphs<'a> {
    text: &'a str,
    /// Where the next line starts.
    at: usize,
    /// The number of the line read last.
    line: usize,
    comments: Comments,
}

impl fmt::Debug for Paragraphs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paragraphs").field("line", &self.line).finish_non_exhaustive()
    }
}

impl<'a> Paragraphs<'a> {
    /// The next line's first byte and its end (without the line break), and moves on.
    fn line(&mut self) -> Option<(usize, usize)> {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest).map_or(self.text.len(), |n| start + n);
        self.at = end + 1;
        self.line += 1;
        Some((start, end))
    }

    fn paragraph(&mut self) -> Result<Option<Paragraph<'a>>, Fault> {
        let mut fields: Vec<Field<'a>> = Vec::new();
        // Where the value of the last field starts: continuation lines make it longer.
        let mut value_start = 0;
        while let Some((start, end)) = self.line() {
            let line = &self.text[start..end];
            match line.as_bytes().first() {
                Some(b'#') if self.comments == Comments::Skipped => {}
                Some(b'#') => return Err(Fault::Comment),
                // Policy lets a parser take a line of blanks for an empty one.
                _ if line.bytes().all(|byte| byte.is_ascii_whitespace()) => {
                    if !fields.is_empty() {
                        break;
                    }
                }
                Some(b' ' | b'\t') => {
                    let field = fields.last_mut().ok_or(Fault::StrayContinuation)?;
                    field.value = trimmed(&self.text[value_start..end]);
                }
                _ => {
                    let colon = memchr::memchr(b':', line.as_bytes()).ok_or(Fault::NoColon)?;
                    let name = &line[..colon];
                    if !is_name(name) {
                        return Err(Fault::BadName(name.chars().take(40).collect()));
                    }
                    if let Some(first) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) {
                        return Err(Fault::Duplicate { name: name.to_owned(), first: first.line });
                    }
                    if fields.len() == MOST_FIELDS {
                        return Err(Fault::TooManyFields);
                    }
                    if fields.is_empty() {
                        fields.reserve(24);
                    }
                    value_start = start + colon + 1;
                    fields.push(Field { name, value: trimmed(&self.text[value_start..end]), line: self.line });
                }
            }
        }
        Ok(if fields.is_empty() { None } else { Some(Paragraph { fields }) })
    }
}

/// Takes off blanks, not line breaks at the start: a folded field's first line may be empty, and counts as one.
fn trimmed(value: &str) -> &str {
    value.trim_start_matches([' ', '\t']).trim_end_matches([' ', '\t', '\r', '\n'])
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(|byte| byte.is_ascii_graphic())
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Result<Paragraph<'a>, SyntaxError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.paragraph();
        result
            .map_err(|fault| {
                self.at = self.text.len();
                SyntaxError { line: self.line, fault }
            })
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, comments: Comments) -> Result<Vec<Vec<(String, String)>>, String> {
        paragraphs(text, comments)
            .map(|paragraph| {
                let paragraph = paragraph.map_err(|error| error.to_string())?;
                Ok(paragraph.fields().iter().map(|f| (f.name.to_owned(), f.lines().collect::<Vec<_>>().join("|"))).collect())
            })
            .collect()
    }

    fn check(text: &str, expect: &[&[(&str, &str)]]) {
        let expect: Vec<Vec<(String, String)>> =
            expect.iter().map(|fields| fields.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()).collect();
        assert_eq!(all(text, Comments::Refused), Ok(expect), "{text:?}");
    }

    #[test]
    fn paragraphs_are_read() {
        check("", &[]);
        check("\n \n\t\n", &[]);
        check("Package: a\nVersion: 1\n\n\n \nPackage: b\n", &[&[("Package", "a"), ("Version", "1")], &[("Package", "b")]]);
        check("Package: a", &[&[("Package", "a")]]);
        check("A:\nB:  x \nC:y", &[&[("A", ""), ("B", "x"), ("C", "y")]]);
        check("A: x: y\r\nB: z\r\n\r\nC: w\r\n", &[&[("A", "x: y"), ("B", "z")], &[("C", "w")]]);
        check("D: short\n long\n .\n\tmore  \n", &[&[("D", "short|long|.|more")]]);
        check("SHA256:\n ab 1 x\n cd 2 y\n", &[&[("SHA256", "|ab 1 x|cd 2 y")]]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expect) in [
            ("A: 1\nwhat\n", "line 2: no colon: a field is written `Name: value`, and its further lines start with a blank"),
            ("\n x\n", "line 2: a continuation line without a field above it"),
            ("A: 1\n\n x\n", "line 3: a continuation line without a field above it"),
            ("A: 1\nB: 2\na: 3\n", "line 3: the field `a` is here twice (first in line 1)"),
            ("A: 1\n# c\n", "line 2: a comment, where none is allowed"),
            (": 1\n", "line 1: `` is not a field name (printable ASCII without blanks, not starting with `#` or `-`)"),
            ("A B: 1\n", "line 1: `A B` is not a field name (printable ASCII without blanks, not starting with `#` or `-`)"),
            ("Ä: 1\n", "line 1: `Ä` is not a field name (printable ASCII without blanks, not starting with `#` or `-`)"),
            ("-A: 1\n", "line 1: `-A` is not a field name (printable ASCII without blanks, not starting with `#` or `-`)"),
        ] {
            assert_eq!(all(text, Comments::Refused).unwrap_err(), expect, "{text:?}");
        }
        let many: String = (0..=MOST_FIELDS).map(|n| format!("F{n}: x\n")).collect();
        assert_eq!(all(&many, Comments::Refused).unwrap_err(), "line 513: a paragraph of more than 512 fields");
        assert_eq!(text(b"A: 1\nB: \xff\n").unwrap_err().to_string(), "line 2: not UTF-8 text");
    }

    #[test]
    fn comments_where_allowed() {
        let text = "# top\nURIs: a\n# between\n b\n#\n\n# alone\n\nTypes: deb\n";
        let expect = vec![vec![("URIs".to_owned(), "a|b".to_owned())], vec![("Types".to_owned(), "deb".to_owned())]];
        assert_eq!(all(text, Comments::Skipped), Ok(expect));
    }

    #[test]
    fn single_wants_exactly_one() {
        assert_eq!(single("A: 1\n\n", Comments::Refused).unwrap().unwrap().get("a"), Some("1"));
        assert_eq!(single("", Comments::Refused), Ok(None));
        assert_eq!(single("A: 1\n\nB: 2\n", Comments::Refused), Ok(None));
    }
}
