"""tok_check.py - `qpipe tokenize` against the tokenizers library on given files.

  tok_check.py QPIPE MODEL FILE...

Each file is tokenized as one text (--whole), with and without special tokens, and line by line. Ids are all integers of
qpipe's output in order; how it breaks lines does not matter here."""
import json
import os
import re
import subprocess
import sys

import peer


def qpipe_ids(program, model, path, *options):
    run = subprocess.run([program, "tokenize", model, path, *options], capture_output=True, text=True)
    if run.returncode:
        peer.fail(f"tokenize {path} {' '.join(options)}: exit {run.returncode}: {run.stderr.strip()}")
    return [int(n) for n in re.findall(r"-?\d+", run.stdout)]


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def main():
    from tokenizers import Tokenizer

    if len(sys.argv) < 4:
        sys.exit(__doc__)
    program, model, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    wrong, compared = [], 0
    for path in files:
        text = open(path, encoding="utf-8", newline="").read()
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        cases = [
            (["--whole"], tokenizer.encode(text).ids),
            (["--whole", "--no-special"], tokenizer.encode(text, add_special_tokens=False).ids),
            (["--no-special"], [i for l in lines for i in tokenizer.encode(l, add_special_tokens=False).ids]),
        ]
        for options, expected in cases:
            found = qpipe_ids(program, model, path, *options)
            compared += len(expected)
            if found != expected:
                i = first_difference(found, expected)
                wrong.append(f"{path} {' '.join(options)}: {len(found)} ids, expected {len(expected)}; first difference at {i}: "
                             f"{found[i:i + 5]}, expected {expected[i:i + 5]} ({[tokenizer.id_to_token(t) for t in expected[i:i + 5]]})")
    if wrong:
        peer.fail(*wrong)
    print(json.dumps({"files": len(files), "ids": compared}))


main()
