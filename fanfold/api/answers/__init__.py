"""What is answered, each document as one class, a file for each thing that is asked about.

A program that reads an answer gets these values; fields that it does not know are passed over, so that a newer service may say
more. Amounts are minor units: strings of digits on the wire, `int` in a program.
"""
