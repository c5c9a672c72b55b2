"""gptq_oracle.py - GPTQ written down a second time, as its paper has it: the inverse of the damped Hessian, its upper
Cholesky factor, one column after the other, all later columns corrected. Float64, no blocks, no sharing of anything with
qpipe, which factors H itself and never inverts it. Slow and short on purpose.

quantize(weight, hessian, args) takes float64 tensors and gives (codes, scales, zeros, decoded weight, loss).
args: bits, strategy (tensor, channel, group, block), size (columns of a group, or [rows, columns]), symmetric, order
(static or none), damp (share of the mean diagonal), dtype (in which scales are stored)."""
import torch


def cells(shape, args):
    """(rows, columns) of a cell that has one scale."""
    rows, cols = shape
    return {"tensor": lambda: (rows, cols), "channel": lambda: (1, cols), "group": lambda: (1, args["size"]),
            "block": lambda: tuple(args["size"])}[args["strategy"]]()


def ranges(weight, args):
    """scale and zero point of every cell, in the checkpoint's dtype, spread to the shape of the weight."""
    dtype, bits = args["dtype"], args["bits"]
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    rows, cols = weight.shape
    r, c = cells(weight.shape, args)
    padded = torch.zeros(-(-rows // r) * r, -(-cols // c) * c, dtype=dtype)
    padded[:rows, :cols] = weight.to(dtype)
    grid = padded.view(padded.shape[0] // r, r, padded.shape[1] // c, c)
    least = grid.amin(dim=(1, 3)).clamp(max=0)
    most = grid.amax(dim=(1, 3)).clamp(min=0)
    if args["symmetric"]:
        scale = torch.maximum(least.abs(), most.abs()) / ((highest - lowest) / 2)
    else:
        scale = (most - least) / (highest - lowest)
    scale = torch.where(scale == 0, torch.tensor(torch.finfo(dtype).eps, dtype=dtype), scale)
    zero = torch.zeros_like(scale) if args["symmetric"] else (lowest - least / scale).clamp(lowest, highest).round()

    def spread(t):
        return t.repeat_interleave(r, 0).repeat_interleave(c, 1)[:rows, :cols]

    return spread(scale), spread(zero), scale


def round_to(column, scale, zero, args):
    """Codes decided by a true float32 division, half to even, and the decoded value."""
    bits = args["bits"]
    q = column.float() / scale.float() + zero.float()
    q = q.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).round()
    return q, ((q - zero.float()) * scale.float()).to(args["dtype"]).double()


def quantize(weight, hessian, args):
    scale, zero, stored = ranges(weight, args)
    w, h = weight.double().clone(), hessian.double().clone()
    n = w.shape[1]
    order = torch.argsort(torch.diagonal(h), descending=True, stable=True)
    if args["order"] == "none":
        order = torch.arange(n)
    dead = torch.diagonal(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    h = h[order][:, order] + args["damp"] * torch.diagonal(h).mean() * torch.eye(n, dtype=torch.float64)
    upper = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    codes, decoded, loss = torch.zeros(w.shape), torch.zeros_like(w), 0.0
    at = w[:, order]
    for i, col in enumerate(order.tolist()):
        codes[:, col], decoded[:, col] = round_to(at[:, i], scale[:, col], zero[:, col], args)
        error = (at[:, i] - decoded[:, col]) / upper[i, i]
        at[:, i:] -= error[:, None] * upper[i, i:][None]
        loss += error.square().sum().item() / 2
    return codes, stored, zero, decoded, loss


def weighted_error(original, decoded, hessian):
    d = original.double() - decoded.double()
    return ((d @ hessian) * d).sum().item()
