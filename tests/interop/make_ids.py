"""make_ids.py - cuts a text into sequences of token ids by the tokenizers library.

  make_ids.py MODEL TEXT COUNT LENGTH OUT.json    COUNT lists of LENGTH ids, without special tokens"""
import json
import os
import sys

import peer


def main():
    from tokenizers import Tokenizer

    if len(sys.argv) != 6:
        sys.exit(__doc__)
    model, text, count, length, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    ids = tokenizer.encode(open(text, encoding="utf-8", newline="").read(), add_special_tokens=False).ids
    if len(ids) < count * length:
        peer.fail(f"{text}: {len(ids)} ids, {count * length} wanted")
    json.dump([ids[i * length:(i + 1) * length] for i in range(count)], open(out, "w"))


main()
