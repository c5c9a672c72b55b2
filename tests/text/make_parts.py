#!/usr/bin/env python3
"""Expected ids for small tokenizers that use every built part: writes parts.json beside this file.

usage: make_parts.py   (needs the package `tokenizers`; parts.json says which version made it)
The model is trained without a pre-tokenizer, so that its merges cross every boundary a pre-tokenizer could set: a wrong
cut changes ids. Each entry is a tokenizer.json without its model, and what the library gives for each text.
"""
import json
import os

import tokenizers
from tokenizers import Tokenizer, models, trainers

TEXTS = [
    "", " ", "  ", "a", " a", "a ", "  a  b  ", "Hello, world! It's 2024-05-06.", "don't DON'T 'S x's", "a\n\nb\r\n c\t d",
    "caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m \ufb01n", "1234567 12 3.14 \u0661\u0662 \u00bd", "<s>a</s>", "x <m> y", "x<m>y", "<w> a<w> <w>b <w>.",
    " <r>   a <r>", "<l> <r> <l>", "\u65e5\u672c\u8a9e text \u2581x \u2581\u2581", "\U0001f642\U0001f468\u200d\U0001f469 ok", "\u0130stanbul \u1e9e STRASSE",
    "a--b...c!?d", "__init__ snake_case CamelCase", "tab\tsep\x0bv\x0cf\u00a0n\u3000i\u2028l\u180ex", "e\u0323\u0301 e\u0301\u0323 \u1100\u1161\u11a8",
    "\u0000x\u0001", "\u017f'\u017f 's", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "{(a)} [b] |c|", "100,000 000", "N1b \U0001fae8 \U00031350",
]
SPLIT = lambda p, b, inv=False, kind="Regex": {"type": "Split", "pattern": {kind: p}, "behavior": b, "invert": inv}
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
META = lambda scheme, split=True: {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}
BYTES = lambda space=False, regex=True: {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": regex}
SEQ = lambda key, *parts: {"type": "Sequence", key: list(parts)}


def token(i, content, **flags):
    t = {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    t.update(flags)
    return t


def configs(size):
    added = [token(0, "<s>"), token(1, "</s>"), token(size, "<m>", normalized=True, special=False), token(size + 1, "<w>", single_word=True),
             token(size + 2, "<r>", rstrip=True), token(size + 3, "<l>", lstrip=True, special=False)]
    c = {"bare": {}, "added": {"added_tokens": added}}
    for n in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "ByteLevel"):
        c["norm " + n] = {"normalizer": {"type": n}}
    for left in (True, False):
        for right in (True, False):
            c[f"norm Strip {left} {right}"] = {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": right}}
    c["norm Replace string"] = {"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "xy"}}
    c["norm Replace regex"] = {"normalizer": {"type": "Replace", "pattern": {"Regex": " {2,}|\\s*$"}, "content": " "}}
    c["norm Prepend"] = {"normalizer": SEQ("normalizers", {"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}), "added_tokens": added}
    c["norm chain"] = {"normalizer": SEQ("normalizers", {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}), "added_tokens": added}
    for b in BEHAVIORS:
        for inv in (False, True):
            c[f"Split {b} {inv}"] = {"pre_tokenizer": SPLIT("[a-c]| |\\d+", b, inv)}
        c[f"Split string {b}"] = {"pre_tokenizer": SPLIT(" ", b, False, "String")}
        c[f"Punctuation {b}"] = {"pre_tokenizer": {"type": "Punctuation", "behavior": b}}
    for i, p in enumerate(["x*", "\\s", "\\S+", "[^\\s\\p{L}]+", "\\w+", "\\W+", "[\\w']+", "\\d", "\\p{P}|\\p{S}", "(?i:'s|'t)|\\p{Lu}\\p{Ll}*", "[a-c[d-f]]+", "^a|b$", "\\h+",
                           "\\s+(?!\\S)|\\s+", "(\\p{Han}|\\p{Hiragana})+", "\\P{L}+", "\\p{^L}", "[\\S]+", "\\u0061|\\x{62}", "a{2}", "\\p{M}+", "a++", "[\\n\\r]", "\\.|\\-", "(?<=a)a"]):
        c[f"Split regex {i}"] = {"pre_tokenizer": SPLIT(p, "Isolated")}
    for s in ("first", "always", "never"):
        for split in (True, False):
            c[f"Metaspace {s} {split}"] = {"pre_tokenizer": META(s, split), "decoder": META(s, split), "added_tokens": added}
    for space in (True, False):
        for regex in (True, False):
            c[f"ByteLevel {space} {regex}"] = {"pre_tokenizer": BYTES(space, regex), "decoder": BYTES(), "added_tokens": added}
    c["Digits"] = {"pre_tokenizer": {"type": "Digits", "individual_digits": True}}
    c["Digits whole"] = {"pre_tokenizer": {"type": "Digits", "individual_digits": False}}
    for n in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer"):
        c[n] = {"pre_tokenizer": {"type": n}}
    c["CharDelimiterSplit"] = {"pre_tokenizer": {"type": "CharDelimiterSplit", "delimiter": "a"}}
    c["chain"] = {"pre_tokenizer": SEQ("pretokenizers", {"type": "WhitespaceSplit"}, META("first"), {"type": "Digits", "individual_digits": True}), "added_tokens": added}
    c["template"] = {"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "E", "type_id": 0}}],
                                        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                                        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}, "E": {"id": "E", "ids": [1, 0], "tokens": ["</s>", "<s>"]}}}, "added_tokens": added}
    c["roberta"] = {"post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}, "added_tokens": added}
    c["bert"] = {"post_processor": {"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]}, "added_tokens": added}
    for start in (0, 1):  # the library panics where both ends meet in one token
        strip = {"type": "Strip", "content": "_", "start": start, "stop": 1 - start}
        c[f"decoders {start}"] = {"decoder": SEQ("decoders", {"type": "Replace", "pattern": {"String": "a"}, "content": "<"}, {"type": "Replace", "pattern": {"Regex": "[ ]+"}, "content": "_"}, strip, {"type": "Fuse"})}
    fallback = {"byte_fallback": True, "unk_token": "<s>", "fuse_unk": True}
    c["unk"] = {"model": {"unk_token": "<s>", "fuse_unk": False}, "added_tokens": added}
    c["unk fused"] = {"model": {"unk_token": "<s>", "fuse_unk": True}, "added_tokens": added}
    c["fallback"] = {"model": fallback, "decoder": SEQ("decoders", {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})}
    c["ignore_merges"] = {"model": {"ignore_merges": True}, "pre_tokenizer": {"type": "WhitespaceSplit"}}
    return c


def base_model():
    words = [t for t in TEXTS if t and "\U0001fae8" not in t and "\u65e5" not in t and "\u0130" not in t and "<" not in t]
    words += ["< > / m w r l"]
    t = Tokenizer(models.BPE())
    t.train_from_iterator(words * 3, trainers.BpeTrainer(vocab_size=420, special_tokens=["<s>", "</s>"], show_progress=False))
    m = json.loads(t.to_str())["model"]
    m["vocab"].pop("\u3000", None)
    m["merges"] = [p for p in m["merges"] if "\u3000" not in "".join(p)]
    m["vocab"] = {k: i for i, k in enumerate(k for k in m["vocab"] if "\u3000" not in k and "\u0000" not in k)}
    m["merges"] = [p for p in m["merges"] if "\u0000" not in "".join(p)]
    for b in list(range(0xC0, 0xF5)) + list(range(0x80, 0xB0)):  # some bytes only: fallback is all or nothing
        m["vocab"].setdefault(f"<0x{b:02X}>", len(m["vocab"]))
    return m


def main():
    model = base_model()
    out = {"tokenizers": tokenizers.__version__, "texts": TEXTS, "model": model, "cases": []}
    for name, parts in configs(len(model["vocab"])).items():
        whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
        whole.update(parts)
        whole["model"] = dict(model, **parts.get("model", {}))
        t = Tokenizer.from_str(json.dumps(whole))
        rows = []
        for s in TEXTS:
            ids, special = t.encode(s, add_special_tokens=False).ids, t.encode(s).ids
            row, decoded, skipped = {"ids": ids}, t.decode(ids, skip_special_tokens=False), t.decode(special, skip_special_tokens=True)
            if "decoder" in parts or s == TEXTS[7]:  # without one, tokens are joined by spaces: one text shows it
                row["decoded"] = decoded
            if skipped != decoded and "decoder" in parts:
                row["skipped"] = skipped
            if special != ids:
                row["special"] = special
            rows.append(row)
        out["cases"].append({"name": name, "parts": parts, "expected": rows})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parts.json")
    with open(path, "w", encoding="ascii") as f:
        f.write(json.dumps(out, ensure_ascii=True, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    print(len(out["cases"]), "tokenizers,", len(TEXTS), "texts,", os.path.getsize(path), "bytes")


main()
