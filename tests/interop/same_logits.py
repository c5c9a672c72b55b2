"""same_logits.py A.safetensors B.safetensors TOLERANCE [--differ] - the tensors "logits" agree within TOLERANCE (with --differ:
do not), absolutely."""
import sys

import peer


def main():
    a, b = (peer.read_tensors([f])["logits"].double() for f in sys.argv[1:3])
    if a.shape != b.shape:
        peer.fail(f"shapes {list(a.shape)} and {list(b.shape)}")
    worst = (a - b).abs().max().item()
    agree = worst <= float(sys.argv[3])
    if agree == ("--differ" in sys.argv):
        peer.fail(f"largest difference {worst}, tolerance {sys.argv[3]}")
    print(f"largest difference {worst}")


main()
