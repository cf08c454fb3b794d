//! BERT's first step from text to tokens: words and punctuation.

/// The words of a text; every punctuation mark and every Chinese character is a word of its own. With `lower_case` letters
/// are lower-cased and lose their accents. As BERT's basic tokenizer; of accented letters, those of the Latin scripts up to
/// U+017F are known, beside combining marks.
pub fn words(text: &str, lower_case: bool) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_whitespace() {
            finish(&mut word, &mut words);
        } else if c.is_control() || is_format(c) || c == '\u{fffd}' {
            // Left out, and no end of a word.
        } else if is_punctuation(c) || is_chinese(c) {
            finish(&mut word, &mut words);
            words.push(c.to_string());
        } else if lower_case {
            word.extend(c.to_lowercase().map(without_accent).filter(|c| !is_combining(*c)));
        } else {
            word.push(c);
        }
    }
    finish(&mut word, &mut words);
    words
}

fn finish(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// Zero-width and directional marks (Unicode category Cf), as far as they are common.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// All of ASCII's marks, `$` and `^` among them, and Unicode's punctuation as far as it is common.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c, '¡' | '§' | '«' | '¶' | '·' | '»' | '¿')
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{2043}' | '\u{2045}'..='\u{2051}' | '\u{2053}'..='\u{205e}')
        || matches!(c, '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}')
        || matches!(c, '！' | '，' | '．' | '：' | '；' | '？' | '（' | '）')
}

/// CJK ideographs, by BERT's list of blocks.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2a6df}' | '\u{2a700}'..='\u{2b73f}'
        | '\u{2b740}'..='\u{2b81f}' | '\u{2b820}'..='\u{2ceaf}' | '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}')
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Lower-case letters that are another letter with an accent.
const ACCENTED: &[(char, &str)] = &[
    ('a', "àáâãäåāăą"),
    ('c', "çćĉċč"),
    ('d', "ď"),
    ('e', "èéêëēĕėęě"),
    ('g', "ĝğġģ"),
    ('h', "ĥ"),
    ('i', "ìíîïĩīĭį"),
    ('j', "ĵ"),
    ('k', "ķ"),
    ('l', "ĺļľ"),
    ('n', "ñńņň"),
    ('o', "òóôõöōŏő"),
    ('r', "ŕŗř"),
    ('s', "śŝşš"),
    ('t', "ţť"),
    ('u', "ùúûüũūŭůűų"),
    ('w', "ŵ"),
    ('y', "ýÿŷ"),
    ('z', "źżž"),
];

fn without_accent(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    ACCENTED.iter().find(|(_, with)| with.contains(c)).map_or(c, |(plain, _)| *plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_alone() {
        assert_eq!(
            words("Hello,  world!\tIt's $5.", true),
            ["hello", ",", "world", "!", "it", "'", "s", "$", "5", "."]
        );
        assert_eq!(words("“Quoted” — dash…", false), ["“", "Quoted", "”", "—", "dash", "…"]);
        assert_eq!(words("ab中文c", true), ["ab", "中", "文", "c"]);
        assert!(words(" \u{0}\n", true).is_empty());
    }

    #[test]
    fn accents_and_case() {
        assert_eq!(words("ÀÉÎÕÜ Ñandú e\u{301}te", true), ["aeiou", "nandu", "ete"]);
        assert_eq!(words("Élan", false), ["Élan"]);
        // No accents: letters of their own.
        assert_eq!(words("Øßłđæ", true), ["øßłđæ"]);
        assert_eq!(words("İ", true), ["i"]);
    }

    /// Every entry is a letter that Rust's own upper case takes back to one of the same table.
    #[test]
    fn the_table_has_each_letter_once() {
        let all: Vec<char> = ACCENTED.iter().flat_map(|(_, with)| with.chars()).collect();
        let distinct: std::collections::BTreeSet<char> = all.iter().copied().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|c| c.is_lowercase() && !c.is_ascii()));
    }
}
