#!/usr/bin/env python3
"""Make examples/tiny again: text, tokenizer, model, calibration and held-out text.

    python3 train.py WORKDIR [OUTDIR]

WORKDIR   scratch space, about 1.2 GB (packages, unpacked trees, token arrays)
OUTDIR    where the finished files go (default: WORKDIR/out)

Needs Debian's apt-get and dpkg with a bookworm `main` source configured, and
torch, tokenizers, safetensors, numpy.  Every random choice hangs on SEED and
the number of training steps is fixed, so the clock has no influence.
"""
import hashlib
import html.parser
import json
import math
import os
import re
import subprocess
import sys
import time

SEED = 71_923
THREADS = 2

# --- text ------------------------------------------------------------------
# package, version, sha256 of the .deb (first 16 digits), English pages,
# most bytes to take, whether its text may appear verbatim in the two text
# files of the example (only packages under short permissive terms)
PACKAGES = [
    ("python3.11-doc", "3.11.2-6+deb12u9", "5b3594189d6ef9a6",
     r"/html/(howto|tutorial|faq|reference|library|extending|using|c-api|distutils)/", 6_000_000, True),
    ("postgresql-doc-15", "15.20-0+deb12u1", "4c44bf2c599f208b", r"/html/", 6_000_000, True),
    ("sqlite3-doc", "3.40.1-2+deb12u2", "466e30d7066e2641", r"/doc/sqlite3/", 4_000_000, True),
    ("python-django-doc", "3:3.2.25-0+deb12u7", "87307f067916df72",
     r"/html/(topics|intro|ref|howto|faq|misc|internals)/", 3_000_000, True),
    ("python-sqlalchemy-doc", "1.4.46+ds1-1", "8805c3167ef75278", r"/html/(orm|core|tutorial|faq|dialects)/", 2_000_000, True),
    ("sphinx-doc", "5.3.0-4", "1da3d08bb3a0bc82", r"/html/(usage|extdev|tutorial|internals|development|man)/|/html/[a-z]+\.html", 700_000, True),
    ("debian-policy", "4.6.2.0", "ef9d01b625c3b87c", r"\.html/[a-z]", 1_500_000, False),
    ("developers-reference", "12.18", "0dba82f6fa16e373", r"/developers-reference/[a-z]", 1_000_000, False),
    ("debian-reference-en", "2.100", "9f31d3a17df505de", r"/ch\d+\.en\.html", 2_000_000, False),
    ("debian-handbook", "11.20220922", "3d5dbeac1f1afc9c", r"/html/en-US/", 3_000_000, False),
    ("debian-faq", "11.1", "427426e0cfa68886", r"\.en\.html", 500_000, False),
    ("maint-guide", "1.2.53", "762c8a400a36668d", r"\.en\.html", 500_000, False),
    ("debmake-doc", "1.17-7", "f562cf744d906b92", r"/ch\d+\.en\.html", 700_000, False),
    ("installation-guide-amd64", "20230508+deb12u1", "812c43e1dc906daf", r"/en/", 1_000_000, False),
    ("harden-doc", "3.19+nmu1", "77ffacb6f8af4afb", r"/en-US/", 1_200_000, False),
    ("git-doc", "1:2.39.5-0+deb12u3", "3c89668a11053a6b", r"/git-doc/", 3_000_000, False),
    ("apache2-doc", "2.4.71-1~deb12u1", "a7b3d1131c1c63db", r"/manual/en/", 3_000_000, False),
    ("rust-doc", "1.63.0+dfsg1-2", "96ef96fe6df87d93", r"/html/(book|reference|nomicon|rustc|rustdoc|rust-by-example|edition-guide)/", 3_000_000, False),
]
UNWANTED = re.compile(r"genindex|modindex|/release|releaselog|changelog|whatsnew|changes\.html|_modules|bookindex|"
                      r"biblio|/search\.html|translations|gfdl|gpl|licen[cs]e|copyright|/media/|kernel-parameters|errcodes")
BLOCK_TAGS = frozenset("p div li ul ol dl dt dd h1 h2 h3 h4 h5 h6 tr table section article main blockquote pre "
                       "figure figcaption details summary body aside header address center".split())
EMPTY_TAGS = frozenset("br hr img meta link input col wbr area base source embed param".split())
DROP_TAGS = frozenset("head script style nav footer form button svg noscript select".split())
DROP_CLASS = re.compile(r"\b(related|sphinxsidebar|navheader|navfooter|headerlink|footer|toc|contents|toctree-wrapper|"
                        r"rubyLink|mainmenu|submenu|nosearch|langavail|toplang|toc-wrapper|mobile-nav|menu-bar|nav|docnav|"
                        r"fancy_toc|fancy-toc|searchmenu|linenos|inline-search|viewcode-link|copybutton|sidebar)\b")


class Page(html.parser.HTMLParser):
    """Collects the text of one HTML page as a list of blocks (paragraph, heading, listing, table row)."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.blocks, self.buf, self.open, self.bullet = [], [], [], ""

    def flush(self, keep_layout=False):
        s = "".join(self.buf)
        self.buf = []
        if keep_layout:
            s = "\n".join(x.rstrip() for x in s.expandtabs(4).strip("\n").splitlines())
        else:
            s = " ".join(s.split())
        if s.strip():
            self.blocks.append(self.bullet + s)
            self.bullet = ""

    def inside(self, what):
        return any(w == what for _, w in self.open)

    def handle_starttag(self, tag, attrs):
        if tag in EMPTY_TAGS:
            if tag == "br":
                self.buf.append("\n" if self.inside("pre") else " ")
            return
        a = dict(attrs)
        kind = ""
        label = (a.get("class") or "") + " " + (a.get("id") or "")
        if tag not in ("body", "html", "main") and (
                tag in DROP_TAGS or a.get("role") in ("navigation", "search") or DROP_CLASS.search(label)):
            kind = "drop"
        elif tag == "pre":
            kind = "pre"
        if tag in BLOCK_TAGS and not self.inside("pre"):
            self.flush()
        self.open.append((tag, kind))
        if tag == "li" and not self.inside("drop"):
            self.bullet = "- "
        elif tag in ("td", "th") and self.buf:
            self.buf.append(" ")

    def handle_endtag(self, tag):
        if not any(t == tag for t, _ in self.open):
            return
        if tag in BLOCK_TAGS:
            self.flush(self.inside("pre"))
        while self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not self.inside("drop"):
            self.buf.append(data.replace("\u00b6", "").replace("\u00a0", " ").replace("\f", " ").replace("\r", ""))


def key(block):
    return re.sub(r"\W+", " ", block).strip().lower()


def decent(block):
    """No listings of numbers, hex dumps, tables of signs; nothing that is not mostly ASCII."""
    if any(0xD800 <= ord(c) < 0xE000 for c in block):
        return False
    ascii_share = sum(c < "\x80" for c in block) / len(block)
    words = sum(c.isalpha() or c == " " for c in block) / len(block)
    return ascii_share > 0.97 and (len(block) < 150 or words > 0.6) and len(block) < 8000


def fetch(work):
    debs, trees = os.path.join(work, "debs"), os.path.join(work, "tree")
    os.makedirs(debs, exist_ok=True)
    for name, version, digest, *_ in PACKAGES:
        deb = [f for f in os.listdir(debs) if f.startswith(name + "_") and f.endswith(".deb")]
        if not deb:
            subprocess.run(["apt-get", "-q=2", "download", f"{name}={version}"], cwd=debs, check=True)
            deb = [f for f in os.listdir(debs) if f.startswith(name + "_") and f.endswith(".deb")]
        path = os.path.join(debs, deb[0])
        with open(path, "rb") as f:
            if not hashlib.sha256(f.read()).hexdigest().startswith(digest):
                sys.exit(f"{deb[0]} is not the file this example was made from")
        if not os.path.isdir(os.path.join(trees, name)):
            os.makedirs(os.path.join(trees, name))
            subprocess.run(["dpkg", "-x", path, os.path.join(trees, name)], check=True)
    return trees


def rank(text):
    return hashlib.blake2b(f"{SEED}:{text}".encode(), digest_size=8).digest()


def read_documents(trees):
    """-> list of (package, path inside the package, verbatim allowed, blocks), in an order that hangs on SEED only"""
    docs = []
    for name, _, _, wanted, cap, verbatim in PACKAGES:
        root, found = os.path.join(trees, name), []
        for folder, _, files in os.walk(root):
            for f in files:
                p = os.path.join(folder, f)
                rel = "/" + os.path.relpath(p, root)
                if f.endswith((".html", ".html.en")) and re.search(wanted, rel) \
                        and not UNWANTED.search(rel) and not os.path.islink(p) and os.path.getsize(p) < 2_000_000:
                    found.append((rank(name + rel), rel, p))
        size = count = 0
        for _, rel, p in sorted(found):
            try:
                with open(p, encoding="utf-8") as f:
                    page = Page()
                    page.feed(f.read())
                    page.close()
                    page.flush()
            except UnicodeDecodeError:
                continue
            blocks = [b for b in page.blocks if decent(b)]
            n = sum(map(len, blocks))
            if n < 900:
                continue
            docs.append((name, rel, verbatim, blocks))
            size, count = size + n, count + 1
            if size > cap:
                break
        print(f"{name:26s} {count:5d} documents {size / 1e6:6.2f} MB", flush=True)
    docs.sort(key=lambda d: rank(d[0] + d[1] + "order"))
    return docs


HELD_BYTES, HELD_PER_DOC, CALIB_DOCS = 72_000, 3_600, 100
KEY_MIN = 25  # blocks with a shorter key (headings such as "See also") may recur


def split(docs):
    """The first permissive documents become held-out text, the next ones calibration text, all others
    training text.  A block counts once, in the first of the three it is met in."""
    seen, out, held_bytes = set(), {"held": [], "calib": [], "train": []}, 0
    per_package = {}
    for name, rel, verbatim, blocks in docs:
        if verbatim and held_bytes < HELD_BYTES and per_package.get(name, 0) < 5:
            part = "held"
            per_package[name] = per_package.get(name, 0) + 1
        elif verbatim and len(out["calib"]) < CALIB_DOCS:
            part = "calib"
        else:
            part = "train"
        out[part].append((name, rel, blocks))
        if part == "held":
            held_bytes += min(HELD_PER_DOC, sum(len(b) + 2 for b in blocks))
    for part in ("held", "calib", "train"):
        kept = []
        for name, rel, blocks in out[part]:
            keep, n = [], 0
            for b in blocks:
                k = key(b)
                if len(k) >= KEY_MIN:
                    if k in seen:
                        continue
                    seen.add(k)
                keep.append(b)
                n += len(b) + 2
                if part == "held" and n > HELD_PER_DOC:
                    break
            if n > 400:
                kept.append((name, rel, keep))
        out[part] = kept
    out["held"] = unshared(out["held"], out["calib"] + out["train"])
    return out


RUN = 16  # words


def unshared(held, others):
    """Held-out documents without the paragraphs that occur in the other documents or have RUN words in a row with them in common."""
    def runs(text):
        words = re.findall(r"\w+", text.lower())
        return (tuple(words[i:i + RUN]) for i in range(len(words) - RUN + 1))

    pieces = [(name, rel, "\n\n".join(blocks).split("\n\n")) for name, rel, blocks in held]
    mine = {r for _, _, ps in pieces for p in ps for r in runs(p)}
    keys = {key(p) for _, _, ps in pieces for p in ps if len(key(p)) >= KEY_MIN}
    shared = set()
    for _, _, blocks in others:
        text = "\n\n".join(blocks)
        shared.update(r for r in runs(text) if r in mine)
        shared.update(k for k in map(key, text.split("\n\n")) if k in keys)
    out = []
    for name, rel, ps in pieces:
        keep = [p for p in ps if key(p) not in shared and not any(r in shared for r in runs(p))]
        if sum(map(len, keep)) > 400:
            out.append((name, rel, keep))
    return out


# --- tokenizer -------------------------------------------------------------
VOCAB = 2048
BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
WORDS = (r"(?i:'(?:s|t|re|ve|m|ll|d))|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
         r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def make_tokenizer(texts, out):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    t = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(WORDS), "isolated"), byte_level])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=[BOS, EOS, PAD], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[(BOS, 0)])])
    assert t.get_vocab_size() == VOCAB
    t.save(os.path.join(out, "tokenizer.json"))
    names = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    dump(out, "special_tokens_map.json", names)
    dump(out, "tokenizer_config.json", {
        "added_tokens_decoder": {str(i): {"content": s, "lstrip": False, "normalized": False, "rstrip": False,
                                          "single_word": False, "special": True} for i, s in enumerate((BOS, EOS, PAD))},
        **names, "clean_up_tokenization_spaces": False, "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": CONTEXT, "tokenizer_class": "PreTrainedTokenizerFast"})
    return t


def dump(out, name, obj):
    with open(os.path.join(out, name), "w", encoding="utf-8") as f:
        json.dump(obj, f, indent=2, ensure_ascii=False)
        f.write("\n")


def calibration(tokenizer, docs, records=160, low=300, high=640):
    """Runs of whole blocks, about low..high tokens each, at most three from one document."""
    out = []
    for _, _, blocks in docs:
        run, n, taken = [], 0, 0
        for b in blocks:
            m = len(tokenizer.encode("\n\n" + b, add_special_tokens=False).ids)
            if n + m > high:
                if n >= low and taken < 3 and len(out) < records:
                    out.append({"id": f"tiny-{len(out):03d}", "text": "\n\n".join(run)})
                    taken += 1
                run, n = [], 0
            if m <= high:
                run.append(b)
                n += m
    return out


# --- model -----------------------------------------------------------------
DIM, FFN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, CONTEXT = 256, 512, 2, 8, 4, 64, 512
THETA, EPS = 10000.0, 1e-5
BATCH, STEPS, WARMUP = 4, 2200, 60           # 4 x 512 tokens a step
LR = 8e-3                                    # AdamW: embedding and norms
MUON_LR, MOMENTUM, DECAY = 0.03, 0.95, 0.05  # Muon: the matrices of the layers


def config():
    return {"architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
            "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "head_dim": HEAD_DIM, "hidden_act": "silu",
            "hidden_size": DIM, "initializer_range": 0.02, "intermediate_size": FFN,
            "max_position_embeddings": CONTEXT, "mlp_bias": False, "model_type": "llama",
            "num_attention_heads": HEADS, "num_hidden_layers": LAYERS, "num_key_value_heads": KV_HEADS,
            "rms_norm_eps": EPS, "rope_scaling": None, "rope_theta": THETA, "tie_word_embeddings": True,
            "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": VOCAB}


def initial_weights(torch):
    gen = torch.Generator().manual_seed(SEED)
    normal = lambda rows, cols, std: torch.randn(rows, cols, generator=gen) * std
    w = {"model.embed_tokens.weight": normal(VOCAB, DIM, 0.02), "model.norm.weight": torch.ones(DIM)}
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        for name, rows, cols in (("self_attn.q_proj", HEADS * HEAD_DIM, DIM), ("self_attn.k_proj", KV_HEADS * HEAD_DIM, DIM),
                                 ("self_attn.v_proj", KV_HEADS * HEAD_DIM, DIM), ("self_attn.o_proj", DIM, HEADS * HEAD_DIM),
                                 ("mlp.gate_proj", FFN, DIM), ("mlp.up_proj", FFN, DIM), ("mlp.down_proj", DIM, FFN)):
            into_residual = name.endswith(("o_proj", "down_proj"))
            w[f"{at}{name}.weight"] = normal(rows, cols, 0.01 if into_residual else cols ** -0.5)
        w[f"{at}input_layernorm.weight"] = torch.ones(DIM)
        w[f"{at}post_attention_layernorm.weight"] = torch.ones(DIM)
    return w


class Net:
    """Forward pass over a dict of weights under their published names."""

    def __init__(self, torch):
        self.torch, self.F = torch, torch.nn.functional
        freq = THETA ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float32) / HEAD_DIM)
        angle = torch.arange(CONTEXT, dtype=torch.float32)[:, None] * freq[None, :]
        self.cos, self.sin = angle.cos(), angle.sin()

    def heads(self, x, weight, rotate):
        n, t, _ = x.shape
        y = self.F.linear(x, weight).view(n, t, -1, HEAD_DIM).transpose(1, 2)
        if rotate:
            a, b = y.float().chunk(2, -1)
            c, s = self.cos[:t], self.sin[:t]
            y = self.torch.cat((a * c - b * s, b * c + a * s), -1).to(y.dtype)
        return y

    def __call__(self, w, ids):
        F = self.F
        h = F.embedding(ids, w["model.embed_tokens.weight"])
        for i in range(LAYERS):
            g = lambda name: w[f"model.layers.{i}.{name}.weight"]
            x = F.rms_norm(h, (DIM,), g("input_layernorm"), EPS)
            q, k = self.heads(x, g("self_attn.q_proj"), True), self.heads(x, g("self_attn.k_proj"), True)
            k, v = (y.repeat_interleave(HEADS // KV_HEADS, 1) for y in (k, self.heads(x, g("self_attn.v_proj"), False)))
            att = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            h = h + F.linear(att.transpose(1, 2).flatten(2), g("self_attn.o_proj"))
            x = F.rms_norm(h, (DIM,), g("post_attention_layernorm"), EPS)
            h = h + F.linear(F.silu(F.linear(x, g("mlp.gate_proj"))) * F.linear(x, g("mlp.up_proj")), g("mlp.down_proj"))
        return F.linear(F.rms_norm(h, (DIM,), w["model.norm.weight"], EPS), w["model.embed_tokens.weight"])


def held_out_nll(torch, w, ids):
    """Mean nll in float32 over windows of CONTEXT targets that do not overlap; a window's first target sees one token."""
    net, total, count = Net(torch), 0.0, 0
    with torch.no_grad():
        for at in range(0, len(ids) - CONTEXT, CONTEXT):
            part = torch.tensor(ids[at:at + CONTEXT + 1], dtype=torch.long)
            logits = net(w, part[None, :-1])[0]
            total += torch.nn.functional.cross_entropy(logits, part[1:], reduction="sum").item()
            count += CONTEXT
    return total / count, count


def round_to_nearest(torch, x, bits, group):
    """Asymmetric grid from the minimum to the maximum of each group along the input, an integer zero point, no search."""
    y = x.reshape(-1, group)
    low, high = y.min(1, keepdim=True).values.clamp(max=0), y.max(1, keepdim=True).values.clamp(min=0)
    step = ((high - low) / (2 ** bits - 1)).clamp(min=1e-9)
    zero = (-low / step).round()
    return (((y / step).round() + zero).clamp(0, 2 ** bits - 1) - zero).mul(step).view_as(x)


def measure(torch, out, held_ids, held_bytes):
    from safetensors.torch import load_file
    w = {k: v.float() for k, v in load_file(os.path.join(out, "model.safetensors")).items()}
    rows = {}
    for label, bits, group in (("bf16", 0, 0), ("W8 g128", 8, 128), ("W4 g128", 4, 128), ("W3 g128", 3, 128), ("W2 g64", 2, 64)):
        q = {k: round_to_nearest(torch, v, bits, group) if bits and "_proj" in k else v for k, v in w.items()}
        nll, count = held_out_nll(torch, q, held_ids)
        rows[label] = {"nll": round(nll, 5), "perplexity": round(math.exp(nll), 3),
                       "bits_per_byte": round(nll / math.log(2) * len(held_ids) / held_bytes, 4)}
        print(f"{label:8s} nll {nll:.5f}  perplexity {math.exp(nll):.3f}", flush=True)
    return {"held_out_targets": count, "held_out_tokens": len(held_ids), "results": rows}


def orthogonal(g):
    """Muon's step: bring the singular values of g near 1 (five Newton-Schulz rounds with its usual quintic)."""
    x = g / (g.norm() + 1e-7)
    wide = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(5):
        s = wide @ wide.T
        wide = 3.4445 * wide + (2.0315 * s @ s - 4.7750 * s) @ wide
    return wide if x.shape[0] <= x.shape[1] else wide.T


def train(torch, stream, out, held_ids):
    import numpy as np
    from safetensors.torch import save_file
    torch.manual_seed(SEED)
    w = {k: v.requires_grad_() for k, v in initial_weights(torch).items()}
    net = Net(torch)
    matrices = [v for k, v in w.items() if "_proj" in k]
    momenta = [torch.zeros_like(v) for v in matrices]
    adam = torch.optim.AdamW([v for k, v in w.items() if "_proj" not in k], lr=LR, betas=(0.9, 0.95), eps=1e-9,
                             weight_decay=0.0, fused=True)
    rng = np.random.default_rng(SEED)
    places = np.concatenate([rng.permutation((len(stream) - CONTEXT - 1) // CONTEXT) for _ in range(
        1 + STEPS * BATCH * CONTEXT // len(stream))]) * CONTEXT
    started, recent = time.time(), None
    for step in range(STEPS):
        warm, done = min(1.0, (step + 1) / WARMUP), step / STEPS
        rate = warm * (0.5 + 0.5 * math.cos(math.pi * done))
        adam.param_groups[0]["lr"] = LR * rate
        rows = np.stack([stream[p:p + CONTEXT + 1] for p in places[step * BATCH:(step + 1) * BATCH]])
        part = torch.from_numpy(rows.astype(np.int64))
        loss = torch.nn.functional.cross_entropy(net(w, part[:, :-1]).flatten(0, 1), part[:, 1:].flatten())
        for v in w.values():
            v.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(w.values()), 1.0)
        adam.step()
        with torch.no_grad():
            for v, m in zip(matrices, momenta):
                m.mul_(MOMENTUM).add_(v.grad)
                v.mul_(1 - DECAY * MUON_LR * rate)
                v.add_(orthogonal(v.grad + MOMENTUM * m), alpha=-MUON_LR * rate * max(1.0, v.shape[0] / v.shape[1]) ** 0.5)
        recent = loss.item() if recent is None else 0.97 * recent + 0.03 * loss.item()
        if step + 1 in (10, 25) or (step + 1) % 50 == 0:
            line = f"step {step + 1}/{STEPS} loss {recent:.4f} minutes {(time.time() - started) / 60:.2f}"
            if (step + 1) % 400 == 0:
                line += f" held-out {held_out_nll(torch, w, held_ids)[0]:.4f}"
            print(line, flush=True)
    minutes = (time.time() - started) / 60
    save_file({k: v.detach().to(torch.bfloat16).contiguous() for k, v in w.items()},
              os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    return {"steps": STEPS, "tokens_seen": STEPS * BATCH * CONTEXT, "last_train_loss": round(recent, 4),
            "parameters": sum(v.numel() for v in w.values()), "minutes": round(minutes, 2)}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    import numpy as np
    import torch
    torch.set_num_threads(THREADS)
    work = os.path.abspath(sys.argv[1])
    out = os.path.abspath(sys.argv[2]) if len(sys.argv) == 3 else os.path.join(work, "out")
    os.makedirs(out, exist_ok=True)

    parts = split(read_documents(fetch(work)))
    text = {k: ["\n\n".join(blocks) for _, _, blocks in v] for k, v in parts.items()}
    with open(os.path.join(out, "heldout.txt"), "w", encoding="utf-8") as f:
        f.write("\f".join(text["held"]))
    tokenizer = make_tokenizer(text["train"][::2], out)
    records = calibration(tokenizer, parts["calib"])
    with open(os.path.join(out, "calib.jsonl"), "w", encoding="utf-8") as f:
        for r in records:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")
    ids = {}
    for k in ("train", "held"):
        flat = []
        for at in range(0, len(text[k]), 64):
            for e in tokenizer.encode_batch(text[k][at:at + 64]):
                flat += e.ids + [1]
        ids[k] = np.array(flat, dtype=np.uint16)
        print(f"{k}: {len(text[k])} documents, {sum(len(t.encode()) for t in text[k])} bytes, {len(flat)} tokens", flush=True)
    print(f"calibration: {len(records)} records", flush=True)

    dump(out, "config.json", config())
    dump(out, "generation_config.json", {"bos_token_id": 0, "do_sample": False, "eos_token_id": 1, "pad_token_id": 2})
    report = {"seed": SEED, "documents": {k: len(v) for k, v in parts.items()}, "train_tokens": len(ids["train"])}
    report.update(train(torch, ids["train"], out, ids["held"].tolist()))
    report.update(measure(torch, out, ids["held"].tolist(), os.path.getsize(os.path.join(out, "heldout.txt"))))
    dump(work, "report.json", report)


if __name__ == "__main__":
    main()
