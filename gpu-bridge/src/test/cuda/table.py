#!/usr/bin/env python3
"""Markdown rows of a benchmark: table.py RESULT.json (written by `gpu-kernels bench`)."""
import json
import sys

print("| kernel | shape | µs | GB moved | TB/s | share of read bandwidth | TFLOP/s | spread |")
print("|---|---|---|---|---|---|---|---|")
for r in json.load(open(sys.argv[1])):
    seconds = r["us"] * 1e-6
    print(f"| {r['kernel']} | {r['shape']} | {r['us']:.1f} | {r['bytes'] * 1e-9:.3f} | {r['bytes'] / seconds * 1e-12:.2f} "
          f"| {100 * r['shareOfRead']:.0f} % | {r['operations'] / seconds * 1e-12:.0f} | {100 * r['spread']:.1f} % |")
