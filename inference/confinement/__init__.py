"""What a child process gives up before it opens a stranger's file: other files, network, programs, memory, time.

A library of the standard library alone, because children also run in the environments of converters.
"""
