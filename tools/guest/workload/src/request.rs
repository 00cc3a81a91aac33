// SPDX-License-Identifier: GPL-2.0

//! Parses one request line.

use std::collections::BTreeMap;

pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) command: String,
    arguments: BTreeMap<String, String>,
}

impl Request {
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split(' ');
        let id = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or("a request starts with its number")?;
        let command = words.next().ok_or("a request names a command")?.to_string();
        let mut arguments = BTreeMap::new();
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("not key=value: {word}"))?;
            arguments.insert(key.to_string(), percent_decode(value)?);
        }
        Ok(Self {
            id,
            command,
            arguments,
        })
    }

    pub(crate) fn text(&self, key: &str) -> Result<&str, String> {
        self.arguments
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| format!("{}: argument {key} is missing", self.command))
    }

    pub(crate) fn number(&self, key: &str) -> Result<u64, String> {
        let value = self.text(key)?;
        value
            .parse()
            .map_err(|_| format!("{}: {key}={value} is not a number", self.command))
    }

    /// `Some(1)`-like switches: absent means off.
    pub(crate) fn switch(&self, key: &str) -> bool {
        self.text(key).is_ok_and(|value| value == "1")
    }
}

fn percent_decode(value: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match (digit(bytes.next()), digit(bytes.next())) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(format!("bad percent encoding: {value}")),
        }
    }
    String::from_utf8(out).map_err(|_| format!("not UTF-8: {value}"))
}
