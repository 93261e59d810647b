"""Where PyTorch itself has to be told of the device.

`storage` is what `torch.save` and pickle see; `generator` stands in for `torch.Generator`; `module_moves` lets modules
move while something holds their parameters, `assigned_data` lets `tensor.data = other` move a tensor, and
`backward_errors` lets errors come out of `backward()` as what they are. `accelerator` answers `torch.accelerator`,
`streams_and_events` is `torch.Stream` and `torch.Event`, and `exchange` refuses DLPack.
"""
