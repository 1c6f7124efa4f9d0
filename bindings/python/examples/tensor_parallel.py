#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A two-layer network on several ranks: the first layer by columns, the second by rows, as in tensor parallel
transformers. Every rank computes the whole network too and says how far apart the two are.

    python tensor_parallel.py --ranks 2 --weight s4.g32 --activation s8.token

starts its ranks itself, with gloo on the CPU, or nccl where there is a GPU for each.
"""
import argparse
import os
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing

from lowbit.torch import ColumnParallelLinear, Linear, RowParallelLinear, row_unit

HIDDEN, INNER, ROWS = 256, 512, 7


def network(arguments):
    """The same on every rank."""
    torch.manual_seed(5)
    floats = torch.nn.Linear(HIDDEN, INNER), torch.nn.Linear(INNER, HIDDEN)
    return [Linear.from_float(layer, arguments.weight, arguments.activation) for layer in floats], torch.randn(ROWS, HIDDEN)


def rank_main(rank, arguments, store):
    gpu = torch.cuda.device_count() >= arguments.ranks
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("nccl" if gpu else "gloo", f"file://{store}", rank=rank, world_size=arguments.ranks)
    device = torch.device("cuda", rank) if gpu else torch.device("cpu")
    (up, down), x = network(arguments)
    up, down, x = up.to(device), down.to(device), x.to(device)
    with torch.no_grad():
        inner = torch.relu(up(x))
        whole = down(inner)

        gathered = ColumnParallelLinear(up).to(device)(x)
        same = torch.equal(gathered, up(x))

        # The usual pair: what the first layer's ranks have is what the second's need, nothing is gathered between.
        first = ColumnParallelLinear(up, gather=False, unit=row_unit(down)).to(device)
        second = RowParallelLinear(down, split_input=True).to(device)
        pair = second(torch.relu(first(x)))
        alone = RowParallelLinear(down).to(device)(inner)
    size = whole.abs().max().item()
    far = max((part - whole).abs().max().item() for part in (pair, alone)) / size
    bytes_here, bytes_all = (sum(b.nelement() * b.element_size() for m in modules for b in m.buffers())
                             for modules in ((first, second), (up, down)))
    print(f"rank {rank} of {arguments.ranks} on {device}: columns {'equal' if same else 'DIFFER'}, rows within {far:.1e} of "
          f"the largest value, {bytes_here} of {bytes_all} bytes of weights", flush=True)
    dist.destroy_process_group()
    if not same or far > 1e-6:
        raise SystemExit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--weight", default="s4.g32")
    parser.add_argument("--activation")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(rank_main, (arguments, os.path.join(folder, "store")), nprocs=arguments.ranks)


if __name__ == "__main__":
    main()
